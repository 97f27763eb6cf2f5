// What torch.arange checks.
#pragma once

#include <c10/core/Scalar.h>
#include <c10/util/Exception.h>

#include <cmath>

namespace at {
namespace native {

inline void arange_check_bounds(const c10::Scalar& start, const c10::Scalar& end, const c10::Scalar& step) {
  const double first = start.to<double>(), last = end.to<double>(), by = step.to<double>();
  TORCH_CHECK(by != 0, "step must be nonzero");
  TORCH_CHECK(std::isfinite(first) && std::isfinite(last), "unsupported range: ", first, " -> ", last);
  TORCH_CHECK(by > 0 ? last >= first : last <= first, "upper bound and larger bound inconsistent with step sign");
}

}  // namespace native
}  // namespace at
