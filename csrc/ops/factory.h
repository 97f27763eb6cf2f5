// Uninitialised tensors on the current npu device.
#pragma once

#include <ATen/core/Tensor.h>

namespace torch_npu::ops {

at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype);
at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype);

// For meta functions: empty `strides` means contiguous or options' memory format.
at::Tensor empty_for_output(at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options);

}  // namespace torch_npu::ops
