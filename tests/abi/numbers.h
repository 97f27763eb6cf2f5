// Elements of CANN's data types as numbers, and when two are close enough.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <limits>

#include "acl/acl.h"

namespace abi {

inline size_t size_of(int32_t type) {
  switch (type) {
    case ACL_COMPLEX128: return 16;
    case ACL_INT64:
    case ACL_UINT64:
    case ACL_DOUBLE:
    case ACL_COMPLEX64: return 8;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32:
    case ACL_COMPLEX32: return 4;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16: return 2;
    default: return 1;
  }
}

template <class T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

inline float half_to_float(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value = 0;
  if (exponent == 31) {
    value = fraction != 0 ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else {
    value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24) : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  }
  return bits & 0x8000 ? -value : value;
}

inline float bfloat_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

inline bool is_rounded(int32_t type) {
  switch (type) {
    case ACL_FLOAT:
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_DOUBLE:
    case ACL_COMPLEX32:
    case ACL_COMPLEX64:
    case ACL_COMPLEX128: return true;
    default: return false;
  }
}

inline std::complex<double> number(const char* from, int32_t type) {
  switch (type) {
    case ACL_FLOAT: return load<float>(from);
    case ACL_DOUBLE: return load<double>(from);
    case ACL_FLOAT16: return half_to_float(load<uint16_t>(from));
    case ACL_BF16: return bfloat_to_float(load<uint16_t>(from));
    case ACL_COMPLEX32: return {half_to_float(load<uint16_t>(from)), half_to_float(load<uint16_t>(from + 2))};
    case ACL_COMPLEX64: return {load<float>(from), load<float>(from + 4)};
    case ACL_COMPLEX128: return {load<double>(from), load<double>(from + 8)};
    case ACL_INT64: return static_cast<double>(load<int64_t>(from));
    case ACL_UINT64: return static_cast<double>(load<uint64_t>(from));
    case ACL_INT32: return load<int32_t>(from);
    case ACL_UINT32: return load<uint32_t>(from);
    case ACL_INT16: return load<int16_t>(from);
    case ACL_UINT16: return load<uint16_t>(from);
    case ACL_INT8: return load<int8_t>(from);
    default: return load<uint8_t>(from);
  }
}

// What torch.testing.assert_close allows, times `factor`; `given` >= 0 replaces both bounds.
inline bool is_close(std::complex<double> got, std::complex<double> expected, int32_t type, double given, double factor) {
  double relative = 1.3e-6, absolute = 1e-5;
  if (type == ACL_FLOAT16 || type == ACL_COMPLEX32) relative = 1e-3;
  if (type == ACL_BF16) relative = 1.6e-2;
  if (type == ACL_DOUBLE || type == ACL_COMPLEX128) relative = absolute = 1e-7;
  if (given >= 0) relative = absolute = given;
  const auto part = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  if (part(got.real(), expected.real()) && part(got.imag(), expected.imag())) return true;
  return std::abs(got - expected) <= factor * (absolute + relative * std::abs(expected));
}

}  // namespace abi
