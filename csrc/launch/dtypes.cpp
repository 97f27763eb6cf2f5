#include <c10/util/Exception.h>

#include <array>

#include "launch/launch.h"

namespace torch_npu::launch {
namespace {

struct Row {
  at::ScalarType torch;
  aclDataType acl;
  const char* name;
};

constexpr Row kRows[] = {
    {at::kFloat, ACL_FLOAT, "float32"},
    {at::kHalf, ACL_FLOAT16, "float16"},
    {at::kBFloat16, ACL_BF16, "bfloat16"},
    {at::kDouble, ACL_DOUBLE, "float64"},
    {at::kChar, ACL_INT8, "int8"},
    {at::kShort, ACL_INT16, "int16"},
    {at::kInt, ACL_INT32, "int32"},
    {at::kLong, ACL_INT64, "int64"},
    {at::kByte, ACL_UINT8, "uint8"},
    {at::kUInt16, ACL_UINT16, "uint16"},
    {at::kUInt32, ACL_UINT32, "uint32"},
    {at::kUInt64, ACL_UINT64, "uint64"},
    {at::kBool, ACL_BOOL, "bool"},
    {at::kComplexHalf, ACL_COMPLEX32, "complex32"},
    {at::kComplexFloat, ACL_COMPLEX64, "complex64"},
    {at::kComplexDouble, ACL_COMPLEX128, "complex128"},
    {at::kFloat8_e5m2, ACL_FLOAT8_E5M2, "float8_e5m2"},
    {at::kFloat8_e4m3fn, ACL_FLOAT8_E4M3FN, "float8_e4m3fn"},
    {at::kFloat8_e8m0fnu, ACL_FLOAT8_E8M0, "float8_e8m0fnu"},
};

constexpr size_t kTypes = static_cast<size_t>(at::ScalarType::NumOptions);

constexpr auto kByType = [] {
  std::array<int8_t, kTypes> table{};
  for (auto& entry : table) entry = -1;
  for (size_t i = 0; i < std::size(kRows); ++i) table[static_cast<size_t>(kRows[i].torch)] = static_cast<int8_t>(i);
  return table;
}();

}  // namespace

aclDataType to_acl_dtype(at::ScalarType dtype) {
  const int row = kByType[static_cast<size_t>(dtype)];
  TORCH_CHECK_TYPE(row >= 0, "npu devices have no counterpart of dtype ", dtype,
                   "; convert the tensor first, for example with .to(torch.float32)");
  return kRows[row].acl;
}

const char* dtype_name(at::ScalarType dtype) {
  const int row = kByType[static_cast<size_t>(dtype)];
  return row >= 0 ? kRows[row].name : c10::toString(dtype);
}

const char* acl_dtype_name(int dtype) {
  for (const Row& row : kRows) {
    if (row.acl == dtype) return row.name;
  }
  return "unknown dtype";
}

}  // namespace torch_npu::launch
