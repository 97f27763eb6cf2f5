// Which dtypes a device has, as bits.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace c10 {

#define TORCH_COMPAT_INDEX(_, name) kIndex_##name,
enum ScalarTypeIndex { AT_FORALL_SCALAR_TYPES_WITH_COMPLEX_AND_QINTS(TORCH_COMPAT_INDEX) };
#undef TORCH_COMPAT_INDEX

struct DeviceCapability {
  struct {
    uint64_t capability_bits = ~uint64_t{0};
  } capability_data;
};

}  // namespace c10
