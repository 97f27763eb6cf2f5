// Which dtypes are floating-point ones of fewer bits than float32.
#pragma once

#include <c10/core/ScalarType.h>

#if TORCH_NPU_TORCH_VERSION < 20100
namespace c10 {
inline bool isReducedFloatingType(ScalarType type) { return type == ScalarType::Half || type == ScalarType::BFloat16; }
}  // namespace c10
#endif
