// Descriptors of the aclop interface hold what they are given; half-precision conversions match the compiler's.
#include <cmath>
#include <cstring>
#include <limits>

#include "acl/acl.h"
#include "check.h"

static void tensor_descriptors() {
  const int64_t dims[] = {2, 3, 4};
  aclTensorDesc* desc = aclCreateTensorDesc(ACL_FLOAT16, 3, dims, ACL_FORMAT_NCHW);
  CHECK(desc != nullptr);
  CHECK(aclGetTensorDescType(desc) == ACL_FLOAT16);
  CHECK(aclGetTensorDescFormat(desc) == ACL_FORMAT_NCHW);
  CHECK(aclGetTensorDescNumDims(desc) == 3);
  CHECK(aclGetTensorDescElementCount(desc) == 24);
  CHECK(aclGetTensorDescSize(desc) == 48);
  int64_t size = 0;
  CHECK(aclGetTensorDescDimV2(desc, 2, &size) == ACL_SUCCESS && size == 4);
  CHECK(aclGetTensorDescDimV2(desc, 3, &size) == ACL_ERROR_INVALID_PARAM);
  CHECK(strstr(aclGetRecentErrMsg(), "index is 3, the tensor has 3 dimensions") != nullptr);
  aclSetTensorDescName(desc, "x");
  CHECK(strcmp(aclGetTensorDescName(desc), "x") == 0);
  aclDestroyTensorDesc(desc);

  const int64_t unknown[] = {-2};
  desc = aclCreateTensorDesc(ACL_FLOAT, 1, unknown, ACL_FORMAT_ND);
  CHECK(aclGetTensorDescNumDims(desc) == ACL_UNKNOWN_RANK);
  CHECK(aclGetTensorDescElementCount(desc) == 0);
  aclDestroyTensorDesc(desc);
  CHECK(aclCreateTensorDesc(ACL_FLOAT, -1, dims, ACL_FORMAT_ND) == nullptr);
  CHECK(aclCreateTensorDesc(ACL_FLOAT, 1, nullptr, ACL_FORMAT_ND) == nullptr);
  CHECK(aclGetTensorDescNumDims(nullptr) == 0);
}

static void data_buffers() {
  int data = 0;
  aclDataBuffer* buffer = aclCreateDataBuffer(&data, sizeof(data));
  CHECK(aclGetDataBufferAddr(buffer) == &data && aclGetDataBufferSizeV2(buffer) == sizeof(data));
  CHECK(aclUpdateDataBuffer(buffer, nullptr, 7) == ACL_SUCCESS && aclGetDataBufferSizeV2(buffer) == 7);
  CHECK(aclDestroyDataBuffer(buffer) == ACL_SUCCESS);
  CHECK(aclDestroyDataBuffer(nullptr) == ACL_SUCCESS);
}

static void half_precision() {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<aclFloat16>(bits);
    const float value = aclFloat16ToFloat(half);
    const bool is_nan = (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0;
    CHECK(std::isnan(value) == is_nan);
    if (!is_nan) CHECK(aclFloatToFloat16(value) == half);
  }
  CHECK(aclFloat16ToFloat(0x3c00) == 1.0f && aclFloat16ToFloat(0x0001) == std::ldexp(1.0f, -24));
  CHECK(aclFloatToFloat16(65519.0f) == 0x7bff && aclFloatToFloat16(65520.0f) == 0x7c00);
  CHECK(aclFloatToFloat16(1.0f + std::ldexp(1.0f, -11)) == 0x3c00);           // a tie goes to the even one
  CHECK(aclFloatToFloat16(1.0f + 3 * std::ldexp(1.0f, -11)) == 0x3c02);
  CHECK(aclFloatToFloat16(std::ldexp(1.0f, -25)) == 0x0000 && aclFloatToFloat16(std::ldexp(1.5f, -25)) == 0x0001);
  CHECK(aclFloatToFloat16(-std::numeric_limits<float>::infinity()) == 0xfc00);
}

int main() {
  tensor_descriptors();
  data_buffers();
  half_precision();
  CHECK(aclDataTypeSize(ACL_BF16) == 2 && aclDataTypeSize(ACL_COMPLEX128) == 16 && aclDataTypeSize(ACL_BOOL) == 1);
  CHECK(aclDataTypeSize(ACL_DT_UNDEFINED) == 0);
  aclopAttr* attr = aclopCreateAttr();
  CHECK(aclopSetAttrInt(attr, "axis", 1) == ACL_SUCCESS);
  CHECK(aclopSetAttrListInt(attr, "axes", 2, nullptr) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclopSetAttrInt(nullptr, "axis", 1) == ACL_ERROR_INVALID_PARAM);
  aclopDestroyAttr(attr);
  return check_summary();
}
