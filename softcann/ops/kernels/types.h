// CANN's data types and torch's.
#pragma once

#include <c10/core/ScalarType.h>

#include "csrc/compat/compat.h"
#include "softcann/nnop/data_type.h"

namespace softcann::ops {

// Undefined where torch has no such type.
inline at::ScalarType scalar_type(aclDataType type) {
  using T = at::ScalarType;
  switch (type) {
    case ACL_FLOAT: return T::Float;
    case ACL_FLOAT16: return T::Half;
    case ACL_INT8: return T::Char;
    case ACL_INT32: return T::Int;
    case ACL_UINT8: return T::Byte;
    case ACL_INT16: return T::Short;
    case ACL_UINT16: return at::kUInt16;
    case ACL_UINT32: return at::kUInt32;
    case ACL_INT64: return T::Long;
    case ACL_UINT64: return at::kUInt64;
    case ACL_DOUBLE: return T::Double;
    case ACL_BOOL: return T::Bool;
    case ACL_COMPLEX32: return T::ComplexHalf;
    case ACL_COMPLEX64: return T::ComplexFloat;
    case ACL_COMPLEX128: return T::ComplexDouble;
    case ACL_BF16: return T::BFloat16;
    case ACL_FLOAT8_E5M2: return at::kFloat8_e5m2;
    case ACL_FLOAT8_E4M3FN: return at::kFloat8_e4m3fn;
    case ACL_FLOAT8_E8M0: return at::kFloat8_e8m0fnu;
    default: return T::Undefined;
  }
}

}  // namespace softcann::ops
