// A number of 64 bits without sign; torch before 2.3 holds those that fit with one.
#pragma once

#include <c10/core/Scalar.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <limits>

namespace torch_compat {

inline c10::Scalar unsigned_scalar(uint64_t value) {
#if TORCH_NPU_TORCH_VERSION < 20300
  TORCH_CHECK_VALUE(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), value, " does not fit into this torch's largest integers");
  return static_cast<int64_t>(value);
#else
  return value;
#endif
}

}  // namespace torch_compat
