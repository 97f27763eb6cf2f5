// aclDataBuffer: an address and a size that travel together.
#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"

struct aclDataBuffer {
  void* data;
  size_t size;
};

namespace softcann {

aclDataBuffer* api::aclCreateDataBuffer(void* data, size_t size) { return new aclDataBuffer{data, size}; }

// Destroying nothing is no error, as with free().
aclError api::aclDestroyDataBuffer(const aclDataBuffer* dataBuffer) {
  delete dataBuffer;
  return ACL_SUCCESS;
}

aclError api::aclUpdateDataBuffer(aclDataBuffer* dataBuffer, void* data, size_t size) {
  if (dataBuffer == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclUpdateDataBuffer: dataBuffer is null");
  *dataBuffer = {data, size};
  return ACL_SUCCESS;
}

void* api::aclGetDataBufferAddr(const aclDataBuffer* dataBuffer) {
  if (dataBuffer != nullptr) return dataBuffer->data;
  fail(ACL_ERROR_INVALID_PARAM, "aclGetDataBufferAddr: dataBuffer is null");
  return nullptr;
}

size_t api::aclGetDataBufferSizeV2(const aclDataBuffer* dataBuffer) {
  if (dataBuffer != nullptr) return dataBuffer->size;
  fail(ACL_ERROR_INVALID_PARAM, "aclGetDataBufferSizeV2: dataBuffer is null");
  return 0;
}

uint32_t api::aclGetDataBufferSize(const aclDataBuffer* dataBuffer) {
  return static_cast<uint32_t>(api::aclGetDataBufferSizeV2(dataBuffer));
}

}  // namespace softcann
