#include "softcann/nnop/data_type.h"

namespace softcann::nnop {
namespace {

struct Row {
  aclDataType type;
  const char* name;
  int bits;
};

constexpr Row kTypes[] = {
    {ACL_FLOAT, "FLOAT", 32},
    {ACL_FLOAT16, "FLOAT16", 16},
    {ACL_INT8, "INT8", 8},
    {ACL_INT32, "INT32", 32},
    {ACL_UINT8, "UINT8", 8},
    {ACL_INT16, "INT16", 16},
    {ACL_UINT16, "UINT16", 16},
    {ACL_UINT32, "UINT32", 32},
    {ACL_INT64, "INT64", 64},
    {ACL_UINT64, "UINT64", 64},
    {ACL_DOUBLE, "DOUBLE", 64},
    {ACL_BOOL, "BOOL", 8},
    {ACL_STRING, "STRING", 0},
    {ACL_COMPLEX64, "COMPLEX64", 64},
    {ACL_COMPLEX128, "COMPLEX128", 128},
    {ACL_BF16, "BFLOAT16", 16},
    {ACL_INT4, "INT4", 4},
    {ACL_UINT1, "UINT1", 1},
    {ACL_COMPLEX32, "COMPLEX32", 32},
    {ACL_HIFLOAT8, "HIFLOAT8", 8},
    {ACL_FLOAT8_E5M2, "FLOAT8_E5M2", 8},
    {ACL_FLOAT8_E4M3FN, "FLOAT8_E4M3FN", 8},
    {ACL_FLOAT8_E8M0, "FLOAT8_E8M0", 8},
    {ACL_FLOAT6_E3M2, "FLOAT6_E3M2", 6},
    {ACL_FLOAT6_E2M3, "FLOAT6_E2M3", 6},
    {ACL_FLOAT4_E2M1, "FLOAT4_E2M1", 4},
    {ACL_FLOAT4_E1M2, "FLOAT4_E1M2", 4},
};

// By value: data types are small numbers.
struct Table {
  const Row* rows[64] = {};
  constexpr Table() {
    for (const Row& row : kTypes) rows[row.type] = &row;
  }
};
constexpr Table kTable;

const Row* find(aclDataType type) {
  return static_cast<uint32_t>(type) < 64 ? kTable.rows[type] : nullptr;
}

}  // namespace

int bits_of(aclDataType type) {
  const Row* row = find(type);
  return row == nullptr ? 0 : row->bits;
}

const char* name_of(aclDataType type) {
  const Row* row = find(type);
  return row == nullptr ? "?" : row->name;
}

}  // namespace softcann::nnop
