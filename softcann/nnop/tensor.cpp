#include <algorithm>
#include <string>

#include "softcann/api_nnopbase.h"
#include "softcann/core/error.h"
#include "softcann/nnop/objects.h"

namespace softcann {
namespace {

using nnop::Kind;

// Everything that can be wrong with a description itself. Whether memory is behind it is checked when an operator gets it.
int describe(aclTensor& tensor, const char* function, const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType,
             const int64_t* stride, int64_t offset, aclFormat format, const int64_t* storageDims, uint64_t storageDimsNum,
             void* tensorData) {
  const auto check_dims = [&](const char* name, const int64_t* dims, uint64_t n) -> int {
    if (n > nnop::kMaxDims) {
      return fail(ACLNN_ERR_PARAM_INVALID, "%s: %sNum is %llu; at most %llu dimensions are allowed", function, name,
                  static_cast<unsigned long long>(n), static_cast<unsigned long long>(nnop::kMaxDims));
    }
    if (n != 0 && dims == nullptr) {
      return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: %s is null but %sNum is %llu", function, name, name,
                  static_cast<unsigned long long>(n));
    }
    int64_t elements = 1;
    for (uint64_t i = 0; i < n; ++i) {
      if (dims[i] < 0) {
        return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s[%llu] is %lld; sizes are not negative", function, name,
                    static_cast<unsigned long long>(i), static_cast<long long>(dims[i]));
      }
      if (dims[i] != 0 && __builtin_mul_overflow(elements, dims[i], &elements)) {
        return fail(ACLNN_ERR_PARAM_INVALID, "%s: the product of %s does not fit into 64 bits", function, name);
      }
    }
    return 0;
  };
  if (int code = check_dims("viewDims", viewDims, viewDimsNum)) return code;
  if (int code = check_dims("storageDims", storageDims, storageDimsNum)) return code;
  if (offset < 0) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: offset is %lld; it counts elements from the start of the storage", function,
                static_cast<long long>(offset));
  }
  if (nnop::bits_of(dataType) == 0 && dataType != ACL_STRING) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: dataType is %d, which is no aclDataType with values", function,
                static_cast<int>(dataType));
  }
  tensor.type = dataType;
  tensor.format = format;
  tensor.dims = static_cast<uint32_t>(viewDimsNum);
  tensor.storage_dims = static_cast<uint32_t>(storageDimsNum);
  tensor.offset = offset;
  tensor.data = tensorData;
  std::copy_n(viewDims, viewDimsNum, tensor.sizes);
  std::copy_n(storageDims, storageDimsNum, tensor.storage_sizes);
  if (stride != nullptr) {
    std::copy_n(stride, viewDimsNum, tensor.strides);
  } else {  // dense
    int64_t step = 1;
    for (uint64_t i = viewDimsNum; i-- > 0;) {
      tensor.strides[i] = step;
      step *= std::max<int64_t>(viewDims[i], 1);
    }
  }
  return 0;
}

int check(const char* function, const aclTensor* tensor, const void* out, const char* out_name) {
  if (tensor == nullptr) return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: tensor is null", function);
  if (tensor->kind != Kind::kTensor) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: tensor %p is not a live aclTensor: destroyed, or not made by aclCreateTensor",
                function, static_cast<const void*>(tensor));
  }
  if (out == nullptr) return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: %s is null", function, out_name);
  return 0;
}

// An array that the client releases with delete[].
int hand_out(const int64_t* values, uint32_t n, int64_t** array, uint64_t* size) {
  *array = new int64_t[n];
  std::copy_n(values, n, *array);
  *size = n;
  return 0;
}

}  // namespace

aclTensor* api::aclCreateTensor(const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t* stride,
                                int64_t offset, aclFormat format, const int64_t* storageDims, uint64_t storageDimsNum,
                                void* tensorData) {
  auto tensor = std::make_unique<aclTensor>();
  return describe(*tensor, "aclCreateTensor", viewDims, viewDimsNum, dataType, stride, offset, format, storageDims,
                  storageDimsNum, tensorData) == 0
             ? tensor.release()
             : nullptr;
}

aclnnStatus api::aclInitTensor(aclTensor* tensor, const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType,
                               const int64_t* stride, int64_t offset, aclFormat format, const int64_t* storageDims,
                               uint64_t storageDimsNum, void* tensorDataAddr) {
  if (int code = check("aclInitTensor", tensor, tensor, "tensor")) return code;
  return describe(*tensor, "aclInitTensor", viewDims, viewDimsNum, dataType, stride, offset, format, storageDims,
                  storageDimsNum, tensorDataAddr);
}

aclnnStatus api::aclDestroyTensor(const aclTensor* tensor) {
  if (tensor == nullptr) return 0;
  if (int code = check("aclDestroyTensor", tensor, tensor, "tensor")) return code;
  tensor->release();
  return 0;
}

aclnnStatus api::aclGetViewShape(const aclTensor* tensor, int64_t** viewDims, uint64_t* viewDimsNum) {
  if (int code = check("aclGetViewShape", tensor, viewDims, "viewDims")) return code;
  if (int code = check("aclGetViewShape", tensor, viewDimsNum, "viewDimsNum")) return code;
  return hand_out(tensor->sizes, tensor->dims, viewDims, viewDimsNum);
}

aclnnStatus api::aclGetViewStrides(const aclTensor* tensor, int64_t** stridesValue, uint64_t* stridesNum) {
  if (int code = check("aclGetViewStrides", tensor, stridesValue, "stridesValue")) return code;
  if (int code = check("aclGetViewStrides", tensor, stridesNum, "stridesNum")) return code;
  return hand_out(tensor->strides, tensor->dims, stridesValue, stridesNum);
}

aclnnStatus api::aclGetStorageShape(const aclTensor* tensor, int64_t** storageDims, uint64_t* storageDimsNum) {
  if (int code = check("aclGetStorageShape", tensor, storageDims, "storageDims")) return code;
  if (int code = check("aclGetStorageShape", tensor, storageDimsNum, "storageDimsNum")) return code;
  return hand_out(tensor->storage_sizes, tensor->storage_dims, storageDims, storageDimsNum);
}

aclnnStatus api::aclGetViewOffset(const aclTensor* tensor, int64_t* offset) {
  if (int code = check("aclGetViewOffset", tensor, offset, "offset")) return code;
  *offset = tensor->offset;
  return 0;
}

aclnnStatus api::aclGetFormat(const aclTensor* tensor, aclFormat* format) {
  if (int code = check("aclGetFormat", tensor, format, "format")) return code;
  *format = tensor->format;
  return 0;
}

aclnnStatus api::aclGetDataType(const aclTensor* tensor, aclDataType* dataType) {
  if (int code = check("aclGetDataType", tensor, dataType, "dataType")) return code;
  *dataType = tensor->type;
  return 0;
}

aclnnStatus api::aclGetRawTensorAddr(const aclTensor* tensor, void** addr) {
  if (int code = check("aclGetRawTensorAddr", tensor, addr, "addr")) return code;
  *addr = tensor->data;
  return 0;
}

aclnnStatus api::aclSetRawTensorAddr(aclTensor* tensor, void* addr) {
  if (int code = check("aclSetRawTensorAddr", tensor, tensor, "tensor")) return code;
  tensor->data = addr;
  return 0;
}

}  // namespace softcann
