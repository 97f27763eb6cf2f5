// Sizes of data types, and the half-precision conversions that CANN offers hosts.
#include <algorithm>
#include <bit>
#include <cmath>

#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"

namespace softcann {

// Bytes of one element; 0 for strings and what is no data type. Types below one byte count as one.
size_t api::aclDataTypeSize(aclDataType dataType) {
  switch (dataType) {
    case ACL_COMPLEX128:
      return 16;
    case ACL_INT64:
    case ACL_UINT64:
    case ACL_DOUBLE:
    case ACL_COMPLEX64:
      return 8;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32:
    case ACL_COMPLEX32:
      return 4;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16:
      return 2;
    case ACL_STRING:
      return 0;
    default:
      break;
  }
  if (dataType >= ACL_INT8 && dataType <= ACL_FLOAT4_E1M2) return 1;
  fail(ACL_ERROR_UNSUPPORTED_DATA_TYPE, "aclDataTypeSize: %d is no aclDataType", static_cast<int>(dataType));
  return 0;
}

float api::aclFloat16ToFloat(aclFloat16 value) {
  const uint32_t sign = (value & 0x8000u) << 16;
  const int exponent = (value >> 10) & 0x1f;
  const uint32_t mantissa = value & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                        : std::ldexp(static_cast<float>(mantissa | 0x400u), exponent - 25);
  return sign != 0 ? -magnitude : magnitude;
}

// Rounds to the nearest, ties to even; too large becomes infinite.
aclFloat16 api::aclFloatToFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  if (std::isnan(value)) return static_cast<aclFloat16>(sign | 0x7e00u);
  const float magnitude = std::fabs(value);
  if (magnitude == 0) return static_cast<aclFloat16>(sign);
  if (magnitude >= 65520.0f) return static_cast<aclFloat16>(sign | 0x7c00u);
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = f * 2^exponent, f in [0.5, 1)
  const int unit = std::max(exponent - 11, -24);  // exponent of the last place
  const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, -unit)));
  // Steps of the smallest binade are the bits themselves; a carry moves into the next binade by addition.
  const uint32_t encoded = unit == -24 ? steps : (static_cast<uint32_t>(unit + 24) << 10) + steps;
  return static_cast<aclFloat16>(sign | encoded);
}

}  // namespace softcann
