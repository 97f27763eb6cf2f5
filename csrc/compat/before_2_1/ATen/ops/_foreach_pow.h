// A number to the power of each tensor of a list.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/pow.h>

#include <vector>

namespace at {

inline std::vector<Tensor> _foreach_pow(const Scalar& self, TensorList exponent) {
  std::vector<Tensor> out;
  out.reserve(exponent.size());
  for (const Tensor& t : exponent) out.push_back(at::pow(self, t));
  return out;
}

}  // namespace at
