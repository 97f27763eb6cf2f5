// AT_DISPATCH_V2 for what we use it for: all types that Scalar holds. Which ones are named is of no account.
#pragma once

#include <ATen/Dispatch.h>

#define AT_WRAP(...) __VA_ARGS__

#if TORCH_NPU_TORCH_VERSION < 20100
#define AT_DISPATCH_V2(TYPE, NAME, BODY, ...) \
  AT_DISPATCH_ALL_TYPES_AND_COMPLEX_AND4(at::kComplexHalf, at::kHalf, at::kBool, at::kBFloat16, TYPE, NAME, AT_WRAP(BODY))
#else
#define AT_DISPATCH_V2(TYPE, NAME, BODY, ...)                                                                            \
  AT_DISPATCH_ALL_TYPES_AND_COMPLEX_AND6(at::kComplexHalf, at::kHalf, at::kBool, at::kBFloat16, at::kFloat8_e5m2, \
                                         at::kFloat8_e4m3fn, TYPE, NAME, AT_WRAP(BODY))
#endif
