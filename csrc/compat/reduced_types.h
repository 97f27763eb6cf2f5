// Which dtypes are floating-point ones of fewer bits than float32, and what the CPU does with them.
#pragma once

#include <c10/core/ScalarType.h>

#if TORCH_NPU_TORCH_VERSION < 20100
namespace c10 {
inline bool isReducedFloatingType(ScalarType type) { return type == ScalarType::Half || type == ScalarType::BFloat16; }
}  // namespace c10
#endif

namespace torch_compat {

// Whether convolutions of bfloat16 add up in bfloat16, as those of torch 2.0 do.
#if TORCH_NPU_TORCH_VERSION < 20100
constexpr bool kConvolvesInBFloat16 = true;
#else
constexpr bool kConvolvesInBFloat16 = false;
#endif

}  // namespace torch_compat
