// var's and std's correction, which was a whole number.
#pragma once

#include "ops/expressions.h"
#include "ops/pointwise_expressions.h"

#if TORCH_NPU_TORCH_VERSION < 20100
namespace torch_npu::ops {

inline int64_t correction_of(const optional<int64_t>& correction) { return correction.value_or(1); }
inline bool is_fraction(const optional<int64_t>&) { return false; }
inline at::Tensor variance(const at::Tensor& self, at::OptionalIntArrayRef dim, const optional<int64_t>& correction, bool keepdim) {
  return variance(self, dim, optional<at::Scalar>(correction_of(correction)), keepdim);
}

}  // namespace torch_npu::ops
#endif
