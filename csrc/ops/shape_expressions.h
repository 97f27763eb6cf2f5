// What the rows of shape.yaml use besides the common expressions.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/rules.h"

namespace torch_npu::ops {

DimVector repeated(const at::Tensor& self, IntArrayRef repeats);
// Checks the parts of split_with_sizes and gives every output its size.
void resize_to_parts(const at::Tensor& self, IntArrayRef sizes, int64_t dim, at::TensorList out);

}  // namespace torch_npu::ops
