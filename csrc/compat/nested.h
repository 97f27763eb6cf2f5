// A nested tensor of a packed buffer: the components' offsets became a tensor in 2.1.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_nested_compute_contiguous_strides_offsets.h>
#include <ATen/ops/_nested_view_from_buffer.h>

namespace torch_compat {

inline at::Tensor nested_view(const at::Tensor& buffer, const at::Tensor& sizes) {
  const auto [strides, offsets] = at::_nested_compute_contiguous_strides_offsets(sizes);
#if TORCH_NPU_TORCH_VERSION < 20100
  return at::_nested_view_from_buffer(buffer, sizes, strides, at::IntArrayRef(offsets.data_ptr<int64_t>(), static_cast<size_t>(offsets.numel())));
#else
  return at::_nested_view_from_buffer(buffer, sizes, strides, offsets);
#endif
}

}  // namespace torch_compat
