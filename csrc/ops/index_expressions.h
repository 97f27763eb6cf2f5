// What the rows of index.yaml use besides the common expressions.
#pragma once

#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>

#include <tuple>

#include "compat/compat.h"

namespace torch_npu::ops {

// scatter's older spelling: 1 add, 2 multiply.
int64_t scatter_mode(string_view reduce);
// index_reduce's index, one per row of `source` along dim, as scatter_reduce takes it: one per element.
at::Tensor index_per_element(const at::Tensor& index, int64_t dim, const at::Tensor& source);
// gather takes an empty index of any dtype.
inline at::Tensor long_if_empty(const at::Tensor& index) { return index.numel() == 0 ? index.to(at::kLong) : index; }
// What the CPU says of writing to expanded tensors where it does not refuse.
void warn_if_expanded(const at::Tensor& self, const char* op, const char* index);
// As the CPU's conversion of a number to the dtype of the elements it fills.
void check_fits(const at::Scalar& value, at::ScalarType dtype);
void check_masked_scatter(const at::Tensor& self, const at::Tensor& mask, const at::Tensor& source);
void check_roll(const at::Tensor& self, at::IntArrayRef shifts, at::IntArrayRef dims);
void check_put(const at::Tensor& self, const at::Tensor& index, const at::Tensor& source);
// unfold's gradient, broadcast to the shape of what unfold gave: the CPU's kernel trusts its caller.
at::Tensor unfold_gradient(const at::Tensor& grad, c10::IntArrayRef sizes, int64_t dim, int64_t size, int64_t step);
// masked_fill_ of dtypes that only aclnnSWhere takes.
at::Tensor& masked_fill_by_where(at::Tensor& self, const at::Tensor& mask, const at::Tensor& value);
// The first `size` positions of elements that are not zero; rows of `fill_value` follow.
at::Tensor first_nonzero(const at::Tensor& self, int64_t size, int64_t fill_value);
// Row-major positions at and below (above) a diagonal, [2, n].
at::Tensor triangle_indices(bool lower, int64_t rows, int64_t columns, int64_t offset, optional<at::ScalarType> dtype,
                            optional<at::Layout> layout, optional<at::Device> device);

}  // namespace torch_npu::ops
