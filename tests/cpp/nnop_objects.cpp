// aclTensor, aclScalar, arrays and lists: created, inspected, destroyed.
#include <cstring>
#include <string>

#include "acl/acl.h"
#include "aclnn/acl_meta.h"
#include "aclnn/aclnn_base.h"
#include "check.h"

namespace {

bool message_has(const char* text) {
  const char* message = aclGetRecentErrMsg();
  const bool found = message != nullptr && std::strstr(message, text) != nullptr;
  if (!found) std::fprintf(stderr, "message: %s\n", message == nullptr ? "(none)" : message);
  return found;
}

void tensors() {
  const int64_t sizes[] = {2, 3}, strides[] = {1, 2}, storage[] = {10};
  int marker = 0;
  aclTensor* tensor = aclCreateTensor(sizes, 2, ACL_BF16, strides, 4, ACL_FORMAT_ND, storage, 1, &marker);
  CHECK(tensor != nullptr);
  int64_t* dims = nullptr;
  uint64_t n = 0;
  CHECK(aclGetViewShape(tensor, &dims, &n) == 0 && n == 2 && dims[0] == 2 && dims[1] == 3);
  delete[] dims;
  CHECK(aclGetViewStrides(tensor, &dims, &n) == 0 && n == 2 && dims[0] == 1 && dims[1] == 2);
  delete[] dims;
  CHECK(aclGetStorageShape(tensor, &dims, &n) == 0 && n == 1 && dims[0] == 10);
  delete[] dims;
  int64_t offset = 0;
  aclFormat format = ACL_FORMAT_UNDEFINED;
  aclDataType type = ACL_DT_UNDEFINED;
  void* address = nullptr;
  CHECK(aclGetViewOffset(tensor, &offset) == 0 && offset == 4);
  CHECK(aclGetFormat(tensor, &format) == 0 && format == ACL_FORMAT_ND);
  CHECK(aclGetDataType(tensor, &type) == 0 && type == ACL_BF16);
  CHECK(aclGetRawTensorAddr(tensor, &address) == 0 && address == &marker);
  CHECK(aclSetRawTensorAddr(tensor, nullptr) == 0 && aclGetRawTensorAddr(tensor, &address) == 0 && address == nullptr);
  // No strides means dense; the object takes a new description.
  CHECK(aclInitTensor(tensor, sizes, 2, ACL_FLOAT, nullptr, 0, ACL_FORMAT_NCHW, sizes, 2, &marker) == 0);
  CHECK(aclGetViewStrides(tensor, &dims, &n) == 0 && dims[0] == 3 && dims[1] == 1);
  delete[] dims;
  CHECK(aclGetViewShape(tensor, nullptr, &n) == ACLNN_ERR_PARAM_NULLPTR && message_has("aclGetViewShape: viewDims is null"));
  CHECK(aclGetDataType(nullptr, &type) == ACLNN_ERR_PARAM_NULLPTR && message_has("tensor is null"));
  CHECK(aclDestroyTensor(tensor) == 0);
  CHECK(aclDestroyTensor(nullptr) == 0);

  aclTensor* scalar = aclCreateTensor(nullptr, 0, ACL_INT64, nullptr, 0, ACL_FORMAT_ND, nullptr, 0, &marker);
  CHECK(scalar != nullptr && aclGetViewShape(scalar, &dims, &n) == 0 && n == 0);
  delete[] dims;
  aclDestroyTensor(scalar);

  const int64_t negative[] = {-1};
  CHECK(aclCreateTensor(negative, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, storage, 1, nullptr) == nullptr);
  CHECK(message_has("aclCreateTensor: viewDims[0] is -1; sizes are not negative"));
  CHECK(aclCreateTensor(sizes, 26, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, storage, 1, nullptr) == nullptr);
  CHECK(message_has("at most 25 dimensions"));
  CHECK(aclCreateTensor(sizes, 2, static_cast<aclDataType>(99), nullptr, 0, ACL_FORMAT_ND, storage, 1, nullptr) == nullptr);
  CHECK(message_has("dataType is 99"));
}

void arrays() {
  const int64_t ints[] = {1, 2, 3};
  const bool bools[] = {true, false};
  const float floats[] = {0.5f};
  uint64_t n = 0;
  aclIntArray* a = aclCreateIntArray(ints, 3);
  aclBoolArray* b = aclCreateBoolArray(bools, 2);
  aclFloatArray* c = aclCreateFloatArray(floats, 1);
  CHECK(aclGetIntArraySize(a, &n) == 0 && n == 3);
  CHECK(aclGetBoolArraySize(b, &n) == 0 && n == 2);
  CHECK(aclGetFloatArraySize(c, &n) == 0 && n == 1);
  CHECK(aclGetIntArraySize(nullptr, &n) == ACLNN_ERR_PARAM_NULLPTR);
  CHECK(aclGetIntArraySize(reinterpret_cast<aclIntArray*>(b), &n) == ACLNN_ERR_PARAM_INVALID);
  CHECK(aclDestroyIntArray(a) == 0 && aclDestroyBoolArray(b) == 0 && aclDestroyFloatArray(c) == 0);
  aclIntArray* empty = aclCreateIntArray(nullptr, 0);
  CHECK(aclGetIntArraySize(empty, &n) == 0 && n == 0);
  aclDestroyIntArray(empty);
  CHECK(aclCreateIntArray(nullptr, 2) == nullptr && message_has("aclCreateIntArray: value is null but size is 2"));
}

void lists() {
  const int64_t sizes[] = {4};
  aclTensor* tensors[3];
  for (aclTensor*& t : tensors) t = aclCreateTensor(sizes, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, sizes, 1, nullptr);
  uint64_t n = 0;
  aclTensorList* list = aclCreateTensorList(tensors, 3);
  CHECK(aclGetTensorListSize(list, &n) == 0 && n == 3);
  CHECK(aclDestroyTensorList(list) == 0);  // and its elements
  double value = 1.5;
  aclScalar* scalars[] = {aclCreateScalar(&value, ACL_DOUBLE), aclCreateScalar(&value, ACL_DOUBLE)};
  aclScalarList* numbers = aclCreateScalarList(scalars, 2);
  CHECK(aclGetScalarListSize(numbers, &n) == 0 && n == 2);
  CHECK(aclDestroyScalarList(numbers) == 0);
  CHECK(aclCreateScalar(nullptr, ACL_DOUBLE) == nullptr && message_has("aclCreateScalar: value is null"));
  CHECK(aclCreateScalar(&value, ACL_STRING) == nullptr && message_has("STRING"));
  aclScalar* lone = aclCreateScalar(&value, ACL_DOUBLE);
  CHECK(aclDestroyScalar(lone) == 0);
}

}  // namespace

int main() {
  tensors();
  arrays();
  lists();
  CHECK(aclnnInit(nullptr) == 0 && aclnnFinalize() == 0);
  return check_summary();
}
