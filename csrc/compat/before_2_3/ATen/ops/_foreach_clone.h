// A copy of each tensor of a list.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace at {

inline std::vector<Tensor> _foreach_clone(TensorList self) {
  std::vector<Tensor> out;
  out.reserve(self.size());
  for (const Tensor& t : self) out.push_back(t.clone());
  return out;
}

}  // namespace at
