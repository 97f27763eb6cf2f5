// The type of var's and std's correction, which was a whole number.
#pragma once

#include <c10/core/Scalar.h>

namespace torch_compat {

#if TORCH_NPU_TORCH_VERSION < 20100
using Correction = int64_t;
#else
using Correction = c10::Scalar;
#endif

}  // namespace torch_compat
