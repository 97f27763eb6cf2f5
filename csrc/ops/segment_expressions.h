// Reductions over segments of a dimension, and jagged against padded tensors: composed of searchsorted, gather and scatter.
#pragma once

#include <ATen/core/Tensor.h>

#include <ATen/ops/arange.h>

#include "compat/compat.h"


namespace torch_npu::ops {

using OptionalTensor = optional<at::Tensor>;

at::Tensor reduce_segments(const at::Tensor& data, string_view reduce, const OptionalTensor& lengths,
                          const OptionalTensor& indices, const OptionalTensor& offsets, int64_t axis, bool unsafe,
                          const optional<at::Scalar>& initial);
at::Tensor reduce_segments_backward(const at::Tensor& grad, const at::Tensor& output, const at::Tensor& data,
                                   string_view reduce, const OptionalTensor& lengths, const OptionalTensor& offsets,
                                   int64_t axis, const optional<at::Scalar>& initial);

at::Tensor jagged_to_padded(const at::Tensor& values, at::TensorList offsets, at::IntArrayRef max_lengths, double padding);
at::Tensor padded_to_jagged(const at::Tensor& dense, at::TensorList offsets, optional<int64_t> total);

// The rows that compressed row indices (of any batch) stand for.
at::Tensor compressed_to_rows(const at::Tensor& compressed, int64_t nnz);
at::Tensor csr_to_coo(const at::Tensor& crow, const at::Tensor& col, bool out_int32, bool transpose);
void validate_compressed(bool is_crow, const at::Tensor& compressed, const at::Tensor& plain, int64_t cdim, int64_t dim,
                         int64_t nnz);

}  // namespace torch_npu::ops
