// What torch.arange checks, and the length of its result.
#pragma once

#include <c10/core/Scalar.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace at {
namespace native {

inline void arange_check_bounds(const c10::Scalar& start, const c10::Scalar& end, const c10::Scalar& step) {
  const double first = start.to<double>(), last = end.to<double>(), by = step.to<double>();
  TORCH_CHECK(by != 0, "step must be nonzero");
  TORCH_CHECK(std::isfinite(first) && std::isfinite(last), "unsupported range: ", first, " -> ", last);
  TORCH_CHECK(by > 0 ? last >= first : last <= first, "upper bound and larger bound inconsistent with step sign");
}

template <typename scalar_t>
int64_t compute_arange_size(const c10::Scalar& start, const c10::Scalar& end, const c10::Scalar& step) {
  arange_check_bounds(start, end, step);
  // What the step becomes in that type.
  if constexpr (std::is_integral_v<scalar_t>) TORCH_CHECK(step.to<int64_t>() != 0, "step must be nonzero");
  double size = 0;
  if constexpr (std::is_same_v<scalar_t, int64_t>) {
    const int64_t by = step.to<int64_t>();
    size = static_cast<double>((end.to<int64_t>() - start.to<int64_t>() + by - (by > 0 ? 1 : -1)) / by);
  } else {
    size = std::ceil((end.to<double>() - start.to<double>()) / step.to<double>());
  }
  TORCH_CHECK(size >= 0 && size <= static_cast<double>(std::numeric_limits<int64_t>::max()), "invalid size, possible overflow?");
  return static_cast<int64_t>(size);
}

}  // namespace native
}  // namespace at
