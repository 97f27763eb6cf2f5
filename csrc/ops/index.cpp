// Indexing with tensors, and operators whose result size depends on data. Hand-written: masks become index tensors first,
// and a size has to be read back from the device before the result exists.
#include <ATen/ExpandUtils.h>
#include <ATen/core/IListRef.h>
#include <ATen/native/IndexingUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <torch/library.h>

#include "compat/indexing.h"
#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/factory.h"
#include "ops/fallback_call.h"
#include "ops/index_expressions.h"
#include "ops/rules.h"

namespace torch_npu::ops {
namespace {

using launch::Launch;
using Indices = c10::List<optional<at::Tensor>>;

// self, and one index tensor (or an undefined one) per indexed dimension, such that the indexed dimensions are adjacent.
struct Prepared {
  at::Tensor self;
  std::vector<at::Tensor> indices;
  DimVector index_sizes;
  int64_t first = 0, count = 0;  // the indexed dimensions

  DimVector result_sizes() const {
    DimVector sizes(self.sizes().slice(0, first));
    sizes.append(index_sizes.begin(), index_sizes.end());
    const auto rest = self.sizes().slice(first + count);
    sizes.append(rest.begin(), rest.end());
    return sizes;
  }
};

Prepared prepare(const at::Tensor& self, const Indices& original) {
  at::native::checkIndexTensorTypes(original, /*allow_int=*/true);
  TORCH_CHECK_INDEX(original.size() <= static_cast<size_t>(self.dim()), "too many indices for tensor of dimension ",
                    self.dim(), " (got ", original.size(), ")");
  auto indices = torch_compat::expand_indices(self, original);
  TORCH_CHECK_INDEX(indices.size() <= static_cast<size_t>(self.dim()), "too many indices for tensor of dimension ",
                    self.dim(), " (got ", indices.size(), ")");
  try {
    indices = at::expand_outplace(indices);
  } catch (std::exception&) {
    std::ostringstream shapes;
    for (const auto& index : indices) {
      if (index.defined()) shapes << (shapes.tellp() > 0 ? ", " : "") << index.sizes();
    }
    TORCH_CHECK_INDEX(false, "shape mismatch: indexing tensors could not be broadcast together with shapes ", shapes.str());
  }
  indices.resize(self.dim());
  Prepared p{self, std::move(indices), {}};
  if (!at::native::hasContiguousSubspace(p.indices)) {
    std::tie(p.self, p.indices) = at::native::transposeToFront(self, p.indices);
  }
  while (p.first < self.dim() && !p.indices[p.first].defined()) ++p.first;
  for (int64_t i = p.first; i < self.dim() && p.indices[i].defined(); ++i) ++p.count;
  if (p.count > 0) p.index_sizes = DimVector(p.indices[p.first].sizes());
  // Trailing dimensions without index are implied.
  p.indices.resize(p.first + p.count);
  for (int64_t i = p.first; i < p.first + p.count; ++i) {
    TORCH_CHECK_INDEX(p.self.size(i) != 0 || p.indices[i].numel() == 0, "index is out of bounds for dimension with size 0");
  }
  return p;
}

// aclnn spells "no index here" as an empty tensor.
std::vector<at::Tensor> aclnn_indices(const Prepared& p) {
  std::vector<at::Tensor> out = p.indices;
  for (auto& index : out) {
    if (!index.defined()) index = empty({0}, at::kLong);
  }
  return out;
}

// CANN indexes no complex128 and puts no complex numbers at all: they are indexed as pairs of real numbers.
bool by_pairs(const launch::AclnnFunction& f, const at::Tensor& t) {
  return t.is_complex() && !launch::dtype_documented(f, 0, t.scalar_type()) &&
         launch::dtype_documented(f, 0, c10::toRealValueType(t.scalar_type()));
}

void launch_index(const Prepared& p, const at::Tensor& out) {
  if (out.numel() == 0) return;
  Launch l(aclnn::aclnnIndex, "aten::index.Tensor");
  l.tensor(p.self);
  l.tensors(at::TensorList(aclnn_indices(p)));
  l.tensor(out);
  l.submit();
}

at::Tensor index_npu(const at::Tensor& self, const Indices& indices) {
  const DeviceScope scope(self);
  if (by_pairs(aclnn::aclnnIndex, self)) return at::view_as_complex(index_npu(at::view_as_real(self.resolve_conj()), indices));
  if (!documented(aclnn::aclnnIndex, 0, self)) {
    return fallback<at::Tensor(const at::Tensor&, const Indices&)>("aten::index", "Tensor", self, indices);
  }
  const Prepared p = prepare(self, indices);
  at::Tensor out = empty(p.result_sizes(), self.scalar_type());
  launch_index(p, out);
  return out;
}

at::Tensor& index_out(const at::Tensor& self, const Indices& indices, at::Tensor& out) {
  const DeviceScope scope(self);
  TORCH_CHECK(self.scalar_type() == out.scalar_type(), "index_out: self (", self.scalar_type(), ") and result (",
              out.scalar_type(), ") must have the same scalar type");
  if (!launch::dtype_documented(aclnn::aclnnIndex, 0, self.scalar_type())) {
    store_result(out, index_npu(self, indices));
    return out;
  }
  const Prepared p = prepare(self, indices);
  at::native::resize_output(out, p.result_sizes());
  launch_index(p, out);
  return out;
}

at::Tensor& index_put_impl(at::Tensor& self, const Indices& indices, const at::Tensor& values, bool accumulate, bool unsafe) {
  const DeviceScope scope(self);
  TORCH_CHECK(self.scalar_type() == values.scalar_type(), "Index put requires the source and destination dtypes match, got ",
                    self.scalar_type(), " for the destination and ", values.scalar_type(), " for the source.");
  warn_if_expanded(self, "index_put_", "indices");
  at::assert_no_overlap(self, values);
  for (const optional<at::Tensor>& index : indices) {
    if (index.has_value() && index->defined()) at::assert_no_overlap(self, *index);
  }
  if (by_pairs(aclnn::aclnnIndexPutImpl, self)) {
    at::Tensor pairs = at::view_as_real(self);
    index_put_impl(pairs, indices, at::view_as_real(values.resolve_conj()), accumulate, unsafe);
    return self;
  }
  if (!documented(aclnn::aclnnIndexPutImpl, 0, self)) {
    return fallback<at::Tensor&(at::Tensor&, const Indices&, const at::Tensor&, bool, bool)>("aten::_index_put_impl_", "", self,
                                                                                              indices, values, accumulate, unsafe);
  }
  const Prepared p = prepare(self, indices);
  const DimVector sizes = p.result_sizes();
  TORCH_CHECK(at::is_expandable_to(values.sizes(), sizes), "shape mismatch: value tensor of shape ", values.sizes(),
              " cannot be broadcast to indexing result of shape ", IntArrayRef(sizes));
  if (c10::multiply_integers(sizes) == 0) return self;
  const at::Tensor source = is_npu(values) ? values : values.to(self.device());
  Launch l(aclnn::aclnnIndexPutImpl, "aten::_index_put_impl_");
  l.tensor(p.self);
  l.tensors(at::TensorList(aclnn_indices(p)));
  l.tensor(source.expand(sizes));
  l.boolean(accumulate);
  l.boolean(unsafe);
  l.submit();
  return self;
}

// ---- results whose size depends on data -----------------------------------------------------------------------------

at::Tensor nonzero_npu(const at::Tensor& self) {
  const DeviceScope scope(self);
  if (self.is_complex()) return at::view_as_real(self.resolve_conj()).ne(0).any(-1).nonzero();
  if (!documented(aclnn::aclnnNonzero, 0, self)) {
    return fallback<at::Tensor(const at::Tensor&)>("aten::nonzero", "", self);
  }
  const at::Tensor room = empty({self.numel(), self.dim()}, at::kLong);
  Launch l(aclnn::aclnnNonzero, "aten::nonzero");
  l.tensor(self);
  l.tensor(room);
  const auto shapes = l.submit_for_shapes({1});
  return room.narrow(0, 0, shapes[0].at(0));
}

at::Tensor& nonzero_out(const at::Tensor& self, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == at::kLong, "nonzero: Expected out tensor to have scalar type Long but got scalar type", out.scalar_type());
  const at::Tensor result = nonzero_npu(self);
  at::native::resize_output(out, result.sizes());
  out.copy_(result);
  return out;
}

at::Tensor masked_select_npu(const at::Tensor& self, const at::Tensor& mask) {
  const DeviceScope scope(self, mask);
  TORCH_CHECK(mask.scalar_type() == at::kBool, "masked_select: expected BoolTensor for mask");
  const at::Tensor on_device = is_npu(mask) ? mask : mask.to(self.device());
  if (by_pairs(aclnn::aclnnMaskedSelect, self)) {
    const at::Tensor both = at::view_as_real(self.resolve_conj()), mask_of_both = on_device.unsqueeze(-1);
    const auto [pairs, mask_of_pair] = at::expand_outplace(both, mask_of_both);
    return at::view_as_complex(masked_select_npu(*pairs, *mask_of_pair).view({-1, 2}));
  }
  if (!documented(aclnn::aclnnMaskedSelect, 0, self)) {
    return fallback<at::Tensor(const at::Tensor&, const at::Tensor&)>("aten::masked_select", "", self, mask);
  }
  const auto [a, m] = at::expand_outplace(self, on_device);
  const at::Tensor room = empty({a->numel()}, self.scalar_type());
  Launch l(aclnn::aclnnMaskedSelect, "aten::masked_select");
  l.tensor(*a);
  l.tensor(*m);
  l.tensor(room);
  const auto shapes = l.submit_for_shapes({2});
  return room.narrow(0, 0, shapes[0].at(0));
}

at::Tensor& masked_select_out(const at::Tensor& self, const at::Tensor& mask, at::Tensor& out) {
  TORCH_CHECK(self.scalar_type() == out.scalar_type(), "masked_select(): self and result must have the same scalar type");
  const at::Tensor result = masked_select_npu(self, mask);
  at::native::resize_output(out, result.sizes());
  out.copy_(result);
  return out;
}

// One shape for all unique functions: values, then inverse and counts, which are empty unless asked for.
using Unique = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Unique unique2(const at::Tensor& self, bool sorted, bool return_inverse, bool return_counts) {
  const DeviceScope scope(self);
  if (!documented(aclnn::aclnnUnique2, 0, self)) {
    return fallback<Unique(const at::Tensor&, bool, bool, bool)>("aten::_unique2", "", self, sorted, return_inverse, return_counts);
  }
  const at::Tensor values = empty({self.numel()}, self.scalar_type());
  const at::Tensor inverse = empty(return_inverse || return_counts ? self.sizes() : IntArrayRef{0}, at::kLong);
  const at::Tensor counts = empty({return_counts ? self.numel() : 0}, at::kLong);
  Launch l(aclnn::aclnnUnique2, "aten::_unique2");
  l.tensor(self);
  l.boolean(sorted);
  l.boolean(return_inverse);
  l.boolean(return_counts);
  l.tensor(values);
  l.tensor(inverse);
  l.tensor(counts);
  const auto shapes = l.submit_for_shapes({1});
  const int64_t n = shapes[0].at(0);
  return {values.narrow(0, 0, n), return_inverse ? inverse : empty({0}, at::kLong),
          return_counts ? counts.narrow(0, 0, n) : counts};
}

// What CPU and CUDA say of dimensions without elements.
void check_unique_dim(const at::Tensor& self, int64_t dim) {
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  int64_t empty_dims = 0;
  for (int64_t size : self.sizes()) empty_dims += size == 0;
  if (self.dim() > 0 && self.size(axis) == 0) {
    TORCH_CHECK(empty_dims == 1, "Number of zero sized dimensions is more than one, so unique cannot be applied ");
  } else {
    TORCH_CHECK(empty_dims == 0, "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
  }
}

Unique unique_consecutive_npu(const at::Tensor& self, bool return_inverse, bool return_counts, optional<int64_t> dim) {
  const DeviceScope scope(self);
  if (!documented(aclnn::aclnnUniqueConsecutive, 0, self)) {
    return fallback<Unique(const at::Tensor&, bool, bool, optional<int64_t>)>("aten::unique_consecutive", "", self,
                                                                                   return_inverse, return_counts, dim);
  }
  if (dim.has_value()) {
    check_unique_dim(self, *dim);
    return_inverse = return_counts = true;  // as on the CPU
  }
  // CANN's "no dim" flattens; a value no dimension can have stands for it.
  constexpr int64_t kFlatten = 1000;
  const int64_t axis = dim.has_value() ? at::maybe_wrap_dim(*dim, self.dim()) : kFlatten;
  const int64_t n = dim.has_value() && self.dim() > 0 ? self.size(axis) : self.numel();
  const at::Tensor values = empty(dim.has_value() ? self.sizes() : IntArrayRef{self.numel()}, self.scalar_type());
  const at::Tensor inverse = return_inverse ? empty(dim.has_value() ? IntArrayRef{n} : self.sizes(), at::kLong) : empty({0}, at::kLong);
  const at::Tensor counts = empty({return_counts ? n : 0}, at::kLong);
  Launch l(aclnn::aclnnUniqueConsecutive, "aten::unique_consecutive");
  l.tensor(self);
  l.boolean(return_inverse);
  l.boolean(return_counts);
  l.integer(axis);
  l.tensor(values);
  l.tensor(inverse);
  l.tensor(counts);
  const auto shapes = l.submit_for_shapes({1});
  const int64_t d = dim.has_value() ? axis : 0;
  const int64_t found = shapes[0].at(d);
  // The values fill a dense tensor of the found shape at the start of the room.
  return {values.as_strided(shapes[0], c10::contiguous_strides(shapes[0])), inverse,
          return_counts ? counts.narrow(0, 0, found) : counts};
}

std::tuple<at::Tensor, at::Tensor> unique(const at::Tensor& self, bool sorted, bool return_inverse) {
  const auto [values, inverse, counts] = unique2(self, sorted, return_inverse, false);
  return {values, inverse};
}

Unique unique_dim(const at::Tensor& self, int64_t dim, bool sorted, bool return_inverse, bool return_counts) {
  const DeviceScope scope(self);
  check_unique_dim(self, dim);
  if (!available(aclnn::aclnnUniqueDim) || !documented(aclnn::aclnnUniqueDim, 0, self)) {
    return fallback<Unique(const at::Tensor&, int64_t, bool, bool, bool)>("aten::unique_dim", "", self, dim, sorted, return_inverse,
                                                                          return_counts);
  }
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  const int64_t n = self.dim() > 0 ? self.size(axis) : 1;
  const at::Tensor values = empty(self.sizes(), self.scalar_type());
  const at::Tensor inverse = empty({n}, at::kLong), counts = empty({n}, at::kLong);
  Launch l(aclnn::aclnnUniqueDim, "aten::unique_dim");
  l.tensor(self);
  l.boolean(sorted);
  l.boolean(return_inverse);
  l.integer(axis);
  l.tensor(values);
  l.tensor(inverse);
  l.tensor(counts);
  const auto shapes = l.submit_for_shapes({1});
  const int64_t found = self.dim() > 0 ? shapes[0].at(axis) : 1;
  return {values.as_strided(shapes[0], c10::contiguous_strides(shapes[0])), inverse, counts.narrow(0, 0, found)};
}

Unique unique_dim_consecutive(const at::Tensor& self, int64_t dim, bool return_inverse, bool return_counts) {
  return unique_consecutive_npu(self, return_inverse, return_counts, dim);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("index.Tensor", TORCH_FN(index_npu));
  m.impl("index.Tensor_out", TORCH_FN(index_out));
  m.impl("_index_put_impl_", TORCH_FN(index_put_impl));
  m.impl("nonzero", TORCH_FN(nonzero_npu));
  m.impl("nonzero.out", TORCH_FN(nonzero_out));
  m.impl("masked_select", TORCH_FN(masked_select_npu));
  m.impl("masked_select.out", TORCH_FN(masked_select_out));
  m.impl("_unique", TORCH_FN(unique));
  m.impl("_unique2", TORCH_FN(unique2));
  m.impl("unique_dim", TORCH_FN(unique_dim));
  m.impl("unique_dim_consecutive", TORCH_FN(unique_dim_consecutive));
  m.impl("unique_consecutive", TORCH_FN(unique_consecutive_npu));
}

}  // namespace torch_npu::ops
