// What softcann knows of an aclDataType.
#pragma once

#include <cstdint>

#include "acl/acl.h"

namespace softcann::nnop {

// Bits of one element; 0 for types without a fixed size (strings) and values that are no data type.
[[gnu::visibility("default")]] int bits_of(aclDataType type);

// "FLOAT", "INT8", ...; "?" if it is no data type.
[[gnu::visibility("default")]] const char* name_of(aclDataType type);

// One bit per data type, for sets of them.
inline uint64_t bit_of(aclDataType type) {
  const auto value = static_cast<int64_t>(type);
  return value >= 0 && value < 64 ? uint64_t{1} << value : 0;
}

}  // namespace softcann::nnop
