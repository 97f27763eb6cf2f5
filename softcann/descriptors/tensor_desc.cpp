// aclTensorDesc: what an operator of the older aclop interface is told about a tensor.
#include <string>
#include <vector>

#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"

struct aclTensorDesc {
  aclDataType type;
  aclFormat format;
  std::vector<int64_t> dims;
  std::string name;
  aclFormat storage_format;
  std::vector<int64_t> storage_dims;
};

namespace softcann {
namespace {

constexpr int64_t kUnknownRank = -2;  // dims {-2}: neither the number of dimensions nor their sizes are known

bool fill(const char* function, std::vector<int64_t>& out, int numDims, const int64_t* dims) {
  if (numDims < 0 || (numDims > 0 && dims == nullptr)) {
    fail(ACL_ERROR_INVALID_PARAM, "%s: numDims is %d and dims is %s; allowed are numDims >= 0 and as many dims", function, numDims,
         dims == nullptr ? "null" : "not null");
    return false;
  }
  out.assign(dims, dims + numDims);
  return true;
}

bool has_desc(const char* function, const aclTensorDesc* desc) {
  if (desc == nullptr) fail(ACL_ERROR_INVALID_PARAM, "%s: desc is null", function);
  return desc != nullptr;
}

// One field of a descriptor, or `absent` after saying that there is no descriptor.
template <class T>
T field(const char* function, const aclTensorDesc* desc, T aclTensorDesc::* member, T absent) {
  return has_desc(function, desc) ? desc->*member : absent;
}

template <class T>
aclError set_field(const char* function, aclTensorDesc* desc, T aclTensorDesc::* member, T value) {
  if (!has_desc(function, desc)) return ACL_ERROR_INVALID_PARAM;
  desc->*member = std::move(value);
  return ACL_SUCCESS;
}

aclError set_dims(const char* function, aclTensorDesc* desc, std::vector<int64_t> aclTensorDesc::* member, int numDims,
                  const int64_t* dims) {
  return has_desc(function, desc) && fill(function, desc->*member, numDims, dims) ? ACL_SUCCESS : ACL_ERROR_INVALID_PARAM;
}

}  // namespace

aclTensorDesc* api::aclCreateTensorDesc(aclDataType dataType, int numDims, const int64_t* dims, aclFormat format) {
  std::vector<int64_t> shape;
  if (!fill("aclCreateTensorDesc", shape, numDims, dims)) return nullptr;
  return new aclTensorDesc{dataType, format, std::move(shape), "", ACL_FORMAT_UNDEFINED, {}};
}

void api::aclDestroyTensorDesc(const aclTensorDesc* desc) { delete desc; }

aclDataType api::aclGetTensorDescType(const aclTensorDesc* desc) {
  return field("aclGetTensorDescType", desc, &aclTensorDesc::type, ACL_DT_UNDEFINED);
}

aclFormat api::aclGetTensorDescFormat(const aclTensorDesc* desc) {
  return field("aclGetTensorDescFormat", desc, &aclTensorDesc::format, ACL_FORMAT_UNDEFINED);
}

size_t api::aclGetTensorDescNumDims(const aclTensorDesc* desc) {
  if (!has_desc("aclGetTensorDescNumDims", desc)) return 0;
  return desc->dims == std::vector<int64_t>{kUnknownRank} ? ACL_UNKNOWN_RANK : desc->dims.size();
}

// The number of elements; 0 while a dimension is unknown (negative).
size_t api::aclGetTensorDescElementCount(const aclTensorDesc* desc) {
  if (!has_desc("aclGetTensorDescElementCount", desc)) return 0;
  size_t count = 1;
  for (const int64_t dim : desc->dims) count *= dim < 0 ? 0 : static_cast<size_t>(dim);
  return count;
}

size_t api::aclGetTensorDescSize(const aclTensorDesc* desc) {
  return has_desc("aclGetTensorDescSize", desc) ? api::aclGetTensorDescElementCount(desc) * api::aclDataTypeSize(desc->type) : 0;
}

aclError api::aclGetTensorDescDimV2(const aclTensorDesc* desc, size_t index, int64_t* dimSize) {
  if (!has_desc("aclGetTensorDescDimV2", desc)) return ACL_ERROR_INVALID_PARAM;
  if (dimSize == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclGetTensorDescDimV2: dimSize is null");
  if (index >= desc->dims.size()) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclGetTensorDescDimV2: index is %zu, the tensor has %zu dimensions", index,
                desc->dims.size());
  }
  *dimSize = desc->dims[index];
  return ACL_SUCCESS;
}

int64_t api::aclGetTensorDescDim(const aclTensorDesc* desc, size_t index) {
  int64_t size = -1;
  api::aclGetTensorDescDimV2(desc, index, &size);
  return size;
}

void api::aclSetTensorDescName(aclTensorDesc* desc, const char* name) {
  set_field("aclSetTensorDescName", desc, &aclTensorDesc::name, std::string(name == nullptr ? "" : name));
}

const char* api::aclGetTensorDescName(aclTensorDesc* desc) {
  return has_desc("aclGetTensorDescName", desc) ? desc->name.c_str() : "";
}

aclError api::aclSetTensorFormat(aclTensorDesc* desc, aclFormat format) {
  return set_field("aclSetTensorFormat", desc, &aclTensorDesc::storage_format, format);
}

aclError api::aclSetTensorShape(aclTensorDesc* desc, int numDims, const int64_t* dims) {
  return set_dims("aclSetTensorShape", desc, &aclTensorDesc::storage_dims, numDims, dims);
}

aclError api::aclSetTensorOriginFormat(aclTensorDesc* desc, aclFormat format) {
  return set_field("aclSetTensorOriginFormat", desc, &aclTensorDesc::format, format);
}

aclError api::aclSetTensorOriginShape(aclTensorDesc* desc, int numDims, const int64_t* dims) {
  return set_dims("aclSetTensorOriginShape", desc, &aclTensorDesc::dims, numDims, dims);
}

aclError api::aclSetTensorStorageFormat(aclTensorDesc* desc, aclFormat format) {
  return set_field("aclSetTensorStorageFormat", desc, &aclTensorDesc::storage_format, format);
}

aclError api::aclSetTensorStorageShape(aclTensorDesc* desc, int numDims, const int64_t* dims) {
  return set_dims("aclSetTensorStorageShape", desc, &aclTensorDesc::storage_dims, numDims, dims);
}

// Where a host scalar of an operator lies, and its value at compile time: nothing is compiled, so nothing reads them.
aclError api::aclSetTensorPlaceMent(aclTensorDesc* desc, aclMemType memType) {
  return has_desc("aclSetTensorPlaceMent", desc) ? ACL_SUCCESS : ACL_ERROR_INVALID_PARAM;
}

aclError api::aclSetTensorConst(aclTensorDesc* desc, void* dataBuffer, size_t length) {
  return has_desc("aclSetTensorConst", desc) ? ACL_SUCCESS : ACL_ERROR_INVALID_PARAM;
}

}  // namespace softcann
