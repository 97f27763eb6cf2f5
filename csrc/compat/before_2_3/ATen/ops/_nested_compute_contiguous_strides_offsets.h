// Where the elements of a packed nested tensor are, from the sizes of its components.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <tuple>

namespace at {

inline std::tuple<Tensor, Tensor> _nested_compute_contiguous_strides_offsets(const Tensor& nested_size) {
  const Tensor sizes = nested_size.contiguous();
  const int64_t count = sizes.size(0), dims = sizes.dim() < 2 ? 0 : sizes.size(1);
  Tensor strides = at::empty_like(sizes), offsets = at::empty({count}, sizes.options());
  const auto* size = sizes.data_ptr<int64_t>();
  auto* stride = strides.data_ptr<int64_t>();
  auto* offset = offsets.data_ptr<int64_t>();
  int64_t position = 0;
  for (int64_t i = 0; i < count; ++i, size += dims, stride += dims) {
    offset[i] = position;
    int64_t step = 1;
    for (int64_t d = dims; d-- > 0; step *= size[d]) stride[d] = step;
    position += step;
  }
  return {strides, offsets};
}

}  // namespace at
