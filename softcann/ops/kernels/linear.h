// What the rows of linear.yaml use.
#pragma once

#include <ATen/core/Tensor.h>

namespace softcann::ops {

// A matrix that is not positive definite has NaN from the failing column on.
at::Tensor cholesky(const at::Tensor& self, bool upper);

}  // namespace softcann::ops
