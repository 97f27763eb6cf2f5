// Copies a list of tensors into another.
#pragma once

#include <ATen/core/Tensor.h>

namespace at {

inline void _foreach_copy_(TensorList self, TensorList src) {
  for (size_t i = 0; i < self.size(); ++i) self[i].copy_(src[i]);
}

}  // namespace at
