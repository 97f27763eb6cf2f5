#include "ops/index_expressions.h"

#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>

namespace torch_npu::ops {

int64_t scatter_mode(string_view reduce) {
  TORCH_CHECK(reduce == "add" || reduce == "multiply", "reduce argument must be either add or multiply.");
  return reduce == "add" ? 1 : 2;
}

at::Tensor index_per_element(const at::Tensor& index, int64_t dim, const at::Tensor& source) {
  if (source.dim() == 0) return index.reshape({});
  c10::DimVector sizes(source.dim(), 1);
  sizes[at::maybe_wrap_dim(dim, source.dim())] = index.numel();
  return index.reshape(sizes).expand_as(source);
}

void warn_if_expanded(const at::Tensor& self, const char* op, const char* index) {
  if (C10_LIKELY(at::has_internal_overlap(self) != at::MemOverlap::Yes)) return;
  TORCH_WARN("Use of ", op, " on expanded tensors is deprecated. Please clone() the tensor before performing this operation. "
             "This also applies to advanced indexing e.g. tensor[", index, "] = ", index[0] == 'm' ? "scalar" : "tensor");
}

void check_fits(const at::Scalar& value, at::ScalarType dtype) {
  switch (dtype) {
#define CONVERT(type, name) \
  case at::ScalarType::name: static_cast<void>(value.to<type>()); break;
    AT_FORALL_SCALAR_TYPES_WITH_COMPLEX(CONVERT)
#undef CONVERT
    default: break;
  }
}

void check_masked_scatter(const at::Tensor& self, const at::Tensor& mask, const at::Tensor& source) {
  TORCH_CHECK(self.scalar_type() == source.scalar_type(), "masked_scatter: expected self and source to have same dtypes but got ",
              self.scalar_type(), " and ", source.scalar_type());
  TORCH_CHECK(mask.scalar_type() == at::kBool, "masked_scatter_ only supports boolean masks, but got mask with dtype ", mask.scalar_type());
}

void check_roll(const at::Tensor& self, at::IntArrayRef shifts, at::IntArrayRef dims) {
  TORCH_CHECK(!shifts.empty(), "`shifts` required");
  if (dims.empty() && shifts.size() == 1) return;
  TORCH_CHECK(shifts.size() == dims.size(), "shifts and dimensions must align. shifts: ", shifts.size(), ", dims:", dims.size());
  if (self.numel() == 0) return;
  for (const int64_t dim : dims) at::maybe_wrap_dim(dim, self.dim(), /*wrap_scalar=*/false);
}

void check_put(const at::Tensor& self, const at::Tensor& index, const at::Tensor& source) {
  TORCH_CHECK_INDEX(index.scalar_type() == at::kLong, "put_(): Expected a long tensor for index, but got ", index.scalar_type());
  TORCH_CHECK(self.scalar_type() == source.scalar_type(), "put_(): self and source expected to have the same dtype, but got self.dtype = ",
              self.scalar_type(), " and source.dtype = ", source.scalar_type());
  TORCH_CHECK_INDEX(source.numel() == index.numel(), "put_(): Expected source and index to have the same number of elements, but got "
                    "source.numel() = ", source.numel(), ", index.numel() = ", index.numel());
  TORCH_CHECK_INDEX(!(self.numel() == 0 && index.numel() != 0), "put_(): Tried to put elements into an empty tensor");
  at::assert_no_internal_overlap(self);
  at::assert_no_overlap(self, index);
  at::assert_no_overlap(self, source);
}

at::Tensor& masked_fill_by_where(at::Tensor& self, const at::Tensor& mask, const at::Tensor& value) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "masked_fill_ only supports boolean masks, but got mask with dtype ", mask.scalar_type());
  return self.copy_(at::where(mask, value, self));
}

at::Tensor first_nonzero(const at::Tensor& self, int64_t size, int64_t fill_value) {
  TORCH_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
  const at::Tensor found = self.nonzero();
  const int64_t n = std::min(size, found.size(0));
  at::Tensor out = at::full({size, self.dim()}, fill_value, found.options());
  out.narrow(0, 0, n).copy_(found.narrow(0, 0, n));
  return out;
}

at::Tensor triangle_indices(bool lower, int64_t rows, int64_t columns, int64_t offset, optional<at::ScalarType> dtype,
                            optional<at::Layout> layout, optional<at::Device> device) {
  TORCH_CHECK(rows >= 0, "row must be non-negative, got", rows);
  TORCH_CHECK(columns >= 0, "col must be non-negative, got", columns);
  TORCH_CHECK(c10::layout_or_default(layout) == at::kStrided, "only support layout=torch.strided, got", *layout);
  const at::Tensor all = at::ones({rows, columns}, at::TensorOptions().dtype(at::kBool).device(device.value_or(at::kPrivateUse1)));
  return (lower ? all.tril(offset) : all.triu(offset)).nonzero().t().to(dtype.value_or(at::kLong)).contiguous();
}

at::Tensor unfold_gradient(const at::Tensor& grad, c10::IntArrayRef sizes, int64_t dim, int64_t size, int64_t step) {
  std::vector<int64_t> unfolded(sizes.begin(), sizes.end());
  const int64_t d = at::maybe_wrap_dim(dim, static_cast<int64_t>(sizes.size()));
  const int64_t extent = unfolded.empty() ? 1 : unfolded[d];
  TORCH_CHECK(size >= 0, "size is ", size, " but must be >= 0");
  TORCH_CHECK(size <= extent, "maximum size for tensor at dimension ", d, " is ", extent, " but size is ", size);
  TORCH_CHECK(step > 0, "step is ", step, " but must be > 0");
  if (!unfolded.empty()) unfolded[d] = (extent - size) / step + 1;
  unfolded.push_back(size);
  TORCH_CHECK(at::is_expandable_to(grad.sizes(), unfolded), "expected a gradient of shape ", c10::IntArrayRef(unfolded), ", but got ", grad.sizes());
  return grad.expand(unfolded);
}

}  // namespace torch_npu::ops
