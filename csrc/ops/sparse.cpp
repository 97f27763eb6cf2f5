// Sparse tensors: the operators for which ATen has separate kernels per device, composed of dense npu operators on indices and
// values. Hand-written: rows register dense kernels only. ATen's kernels that fit every device: codegen/layouts.py.
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/_sparse_compressed_tensor_unsafe.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include "compat/dispatch_keys.h"
#include "ops/common.h"
#include "ops/segment_expressions.h"

namespace torch_npu::ops {
namespace {

// ---- what has no kernel ---------------------------------------------------------------------------------------------

const char* layout_name(const at::Tensor& t) {
  if (t.is_quantized()) return "quantized";
  if (t.is_nested()) return "nested";
  switch (t.layout()) {
    case at::kSparse: return "sparse COO";
    case at::kSparseCsr: return "sparse CSR";
    case at::kSparseCsc: return "sparse CSC";
    case at::kSparseBsr: return "sparse BSR";
    case at::kSparseBsc: return "sparse BSC";
    default: return nullptr;
  }
}

template <class F>
void visit_tensors(const c10::IValue& v, F f) {
  if (v.isTensor() && v.toTensor().defined()) f(v.toTensor());
  if (v.isList()) {
    for (const c10::IValue& e : v.toListRef()) visit_tensors(e, f);
  }
}

template <const char* const& kLayout, const char* const& kAdvice>
void refuse(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const char* layout = nullptr;
  c10::Device device(at::kPrivateUse1);
  for (const c10::IValue& v : torch::jit::last(*stack, op.schema().arguments().size())) {
    visit_tensors(v, [&](const at::Tensor& t) {
      if (layout_name(t) == nullptr || layout != nullptr) return;
      layout = layout_name(t);
      device = t.device();
    });
  }
  TORCH_CHECK_NOT_IMPLEMENTED(false, c10::toString(op.operator_name()), " is not implemented for ",
                              layout != nullptr ? layout : kLayout, " tensors on ", device, ". ", kAdvice);
}

constexpr const char* kCoo = "sparse COO";
constexpr const char* kCompressed = "compressed sparse";
constexpr const char* kNested = "nested";
constexpr const char* kQuantized = "quantized";
constexpr const char* kDensify = "Use a dense tensor (x.to_dense()), or move the tensor to the CPU first (x.cpu())";
constexpr const char* kJagged = "Use layout=torch.jagged, a padded tensor, or move the tensor to the CPU first (x.cpu())";
constexpr const char* kDequantize = "Quantize on the CPU, or compute with torch.fake_quantize_per_tensor_affine on npu";

// ---- COO ------------------------------------------------------------------------------------------------------------

at::Tensor coo(const at::Tensor& indices, const at::Tensor& values, at::IntArrayRef sizes, bool coalesced) {
  return at::_sparse_coo_tensor_unsafe(indices, values, sizes, values.options().layout(at::kSparse))._coalesced_(coalesced);
}

// One number per entry: its place among the sparse dimensions, row-major.
at::Tensor flat_index(const at::Tensor& indices, at::IntArrayRef sizes) {
  at::Tensor flat = indices.select(0, 0);
  for (int64_t d = 1; d < indices.size(0); ++d) flat = flat.mul(sizes[d]).add(indices.select(0, d));
  return flat;
}

at::Tensor unflatten_index(at::Tensor flat, at::IntArrayRef sizes, int64_t sparse_dim) {
  std::vector<at::Tensor> rows(sparse_dim);
  for (int64_t d = sparse_dim - 1; d >= 0; --d) {
    rows[d] = d == 0 ? flat : flat.remainder(sizes[d]);
    if (d > 0) flat = flat.floor_divide(sizes[d]);
  }
  return at::stack(rows);
}

// The values of a dense tensor's leading `sparse_dim` dimensions as one.
at::Tensor flatten_leading(const at::Tensor& dense, int64_t sparse_dim) {
  std::vector<int64_t> sizes{-1};
  if (dense.numel() == 0) sizes[0] = c10::multiply_integers(dense.sizes().slice(0, sparse_dim));
  sizes.insert(sizes.end(), dense.sizes().begin() + sparse_dim, dense.sizes().end());
  return dense.reshape(sizes);
}

at::Tensor coalesce(const at::Tensor& self) {
  const DeviceScope scope(self._values());
  if (self._nnz() < 2 || self.sparse_dim() == 0) {
    if (self.sparse_dim() > 0 || self._nnz() < 2) return self.clone()._coalesced_(true);
    return coo(self._indices().narrow(1, 0, 1), self._values().sum(0, true), self.sizes(), true);
  }
  const auto [places, where, counts] = at::_unique2(flat_index(self._indices(), self.sizes()), true, true, false);
  c10::DimVector sizes(self._values().sizes());
  sizes[0] = places.size(0);
  const at::Tensor values = at::zeros(sizes, self._values().options()).index_add_(0, where, self._values());
  return coo(unflatten_index(places, self.sizes(), self.sparse_dim()), values, self.sizes(), true);
}

at::Tensor& store(at::Tensor& out, const at::Tensor& result) {
  if (out.is_same(result)) return out;
  if (out.is_sparse()) {
    out.sparse_resize_and_clear_(result.sizes(), result.sparse_dim(), result.dense_dim());
    return out.copy_(result);
  }
  at::native::resize_output(out, result.sizes());
  return out.copy_(result);
}

at::Tensor& add_out(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha, at::Tensor& out) {
  const at::ScalarType common = at::result_type(self, other);
  TORCH_CHECK(c10::canCast(common, out.scalar_type()), "Can't convert result type ", common, " to output ", out.scalar_type());
  if (!self.is_sparse()) {  // dense + sparse
    TORCH_CHECK(other.is_sparse(), "add: expected 'other' to be a sparse tensor");
    TORCH_CHECK(self.sizes() == other.sizes(), "add: expected 'self' and 'other' to have same size, but self has size ",
                self.sizes(), " while other has size ", other.sizes(), " (FYI: dense-sparse addition does not currently support broadcasting)");
    const at::Tensor base = self.to(common);
    const at::Tensor values = other._values().to(common);
    at::Tensor sum = (base.is_same(self) && !out.is_same(self)) || !base.is_contiguous() ? base.clone(at::MemoryFormat::Contiguous) : base;
    if (other._nnz() > 0) {
      if (other.sparse_dim() == 0) sum.add_(values.sum(0), alpha);
      else flatten_leading(sum, other.sparse_dim()).index_add_(0, flat_index(other._indices(), other.sizes()), values, alpha);
    }
    return store(out, sum);
  }
  TORCH_CHECK(other.is_sparse(), "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
  TORCH_CHECK(self.sizes() == other.sizes(), "add: expected sizes of 'self' and 'other' to match, but ", self.sizes(), " != ", other.sizes());
  at::Tensor a = self, b = other;
  if (a.sparse_dim() != b.sparse_dim()) {
    TORCH_CHECK(a._nnz() == 0 || b._nnz() == 0, "add: expected 'self' and 'other' to have same number of sparse dimensions");
    return store(out, a._nnz() == 0 ? b.mul(alpha).to(common) : a.to(common));
  }
  const at::Tensor values = at::cat({a._values().to(common), b._values().to(common).mul(alpha)});
  return store(out, coo(at::cat({a._indices(), b._indices()}, 1), values, a.sizes(), false));
}

at::Tensor& mul_out(const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  const at::ScalarType common = at::result_type(self, other);
  if (!self.is_sparse()) return mul_out(other, self, out);
  if (other.dim() == 0) {
    const at::Tensor factor = other.is_sparse() ? other.to_dense() : other;
    return store(out, coo(self._indices(), self._values().mul(factor).to(common), self.sizes(), self.is_coalesced()));
  }
  TORCH_CHECK(self.sizes() == other.sizes(), "mul operands have incompatible sizes: sparse tensors on npu do not broadcast, but got ",
              self.sizes(), " and ", other.sizes());
  const at::Tensor a = coalesce(self);
  if (!other.is_sparse()) {
    const at::Tensor found = flatten_leading(other, a.sparse_dim()).index_select(0, flat_index(a._indices(), a.sizes()));
    return store(out, coo(a._indices(), a._values().mul(found), a.sizes(), true));
  }
  const at::Tensor b = coalesce(other);
  TORCH_CHECK(a.sparse_dim() == b.sparse_dim(), "mul: expected 'self' and 'other' to have same number of sparse dimensions");
  if (b._nnz() == 0 || a._nnz() == 0) {
    return store(out, coo(a._indices().narrow(1, 0, 0), a._values().narrow(0, 0, 0).to(common), a.sizes(), true));
  }
  const at::Tensor places = flat_index(a._indices(), a.sizes()), others = flat_index(b._indices(), b.sizes());
  const at::Tensor at_other = at::searchsorted(others, places).clamp_max(others.size(0) - 1);
  const at::Tensor both = others.index_select(0, at_other).eq(places).nonzero().select(1, 0);
  const at::Tensor values = a._values().index_select(0, both).mul(b._values().index_select(0, at_other.index_select(0, both)));
  return store(out, coo(a._indices().index_select(1, both), values, a.sizes(), true));
}

// ---- sparse times dense ---------------------------------------------------------------------------------------------

struct Entries {
  at::Tensor rows, columns, values;
};

Entries entries_of(const at::Tensor& t) {
  if (t.is_sparse()) return {t._indices().select(0, 0), t._indices().select(0, 1), t._values()};
  TORCH_CHECK_NOT_IMPLEMENTED(t.layout() == at::kSparseCsr || t.layout() == at::kSparseCsc, "Products with ", t.layout(),
                              " tensors are not implemented on npu. ", kDensify);
  if (t.layout() == at::kSparseCsr) return {compressed_to_rows(t.crow_indices(), t.values().size(-1)), t.col_indices(), t.values()};
  return {t.row_indices(), compressed_to_rows(t.ccol_indices(), t.values().size(-1)), t.values()};
}

at::Tensor times_dense(const Entries& e, int64_t rows, const at::Tensor& dense) {
  const at::Tensor products = dense.index_select(0, e.columns).mul(e.values.unsqueeze(-1));
  return at::zeros({rows, dense.size(-1)}, products.options()).index_add_(0, e.rows, products);
}

at::Tensor sparse_addmm(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                 const at::Scalar& alpha) {
  TORCH_CHECK_NOT_IMPLEMENTED(self.layout() == at::kStrided, "addmm with a sparse 'self' is not implemented on npu. ", kDensify);
  TORCH_CHECK(mat1.dim() == 2 && mat2.dim() == 2, "addmm: expected 'mat1' and 'mat2' to be 2D, but got ", mat1.dim(), "D and ",
              mat2.dim(), "D tensors");
  TORCH_CHECK(mat1.size(1) == mat2.size(0), "addmm: Argument #3 (dense): Expected dim 0 size ", mat1.size(1), ", got ", mat2.size(0));
  at::Tensor product;
  if (mat2.layout() != at::kStrided) {
    if (mat1.layout() != at::kStrided) {
      product = mat1.to_dense().mm(mat2.to_dense());
    } else {
      Entries e = entries_of(mat2);
      std::swap(e.rows, e.columns);
      product = times_dense(e, mat2.size(1), mat1.t()).t();
    }
  } else {
    product = times_dense(entries_of(mat1), mat1.size(0), mat2);
  }
  if (beta.toComplexDouble() == 0.) return product.mul(alpha);
  return self.expand_as(product).mul(beta).add(product, alpha);
}

at::Tensor& addmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK_NOT_IMPLEMENTED(out.layout() == at::kStrided, "addmm with a sparse result is not implemented on npu. ", kDensify);
  return store(out, sparse_addmm(self, mat1, mat2, beta, alpha));
}

at::Tensor& addmm_(at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta, const at::Scalar& alpha) {
  return self.copy_(sparse_addmm(self, mat1, mat2, beta, alpha));
}

at::Tensor& addmv_out(const at::Tensor& self, const at::Tensor& mat, const at::Tensor& vec, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  return store(out, sparse_addmm(self.dim() == 0 ? self : self.unsqueeze(-1), mat, vec.unsqueeze(-1), beta, alpha).squeeze(-1));
}

// The batch is a block diagonal matrix.
at::Tensor sparse_bmm(const at::Tensor& self, const at::Tensor& mat2) {
  TORCH_CHECK(self.dim() == 3 && mat2.dim() == 3 && mat2.layout() == at::kStrided, "bmm_sparse: expected a sparse and a dense 3D tensor");
  TORCH_CHECK(self.size(0) == mat2.size(0) && self.size(2) == mat2.size(1), "bmm_sparse: Argument #2 (dense): Expected sizes [",
              self.size(0), ", ", self.size(2), ", ...], got ", mat2.sizes());
  const at::Tensor &i = self._indices(), batch = i.select(0, 0);
  const Entries e{batch.mul(self.size(1)).add(i.select(0, 1)), batch.mul(self.size(2)).add(i.select(0, 2)), self._values()};
  return times_dense(e, self.size(0) * self.size(1), mat2.reshape({-1, mat2.size(2)})).reshape({self.size(0), self.size(1), mat2.size(2)});
}

at::Tensor& bmm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) { return store(out, sparse_bmm(self, mat2)); }

at::Tensor index_select_sparse(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  c10::DimVector sizes(self.sizes());
  sizes[dim] = index.numel();
  const at::Tensor &indices = self._indices(), &values = self._values();
  if (dim >= self.sparse_dim()) return coo(indices, values.index_select(dim - self.sparse_dim() + 1, index), sizes, self.is_coalesced());
  // Every pair of an entry and a wanted index that agree.
  const at::Tensor wanted = index.lt(0).to(index.scalar_type()).mul(self.size(dim)).add(index);
  const at::Tensor pairs = wanted.unsqueeze(1).eq(indices.select(0, dim).unsqueeze(0)).nonzero();
  const at::Tensor place = pairs.select(1, 0), entry = pairs.select(1, 1);
  at::Tensor chosen = indices.index_select(1, entry).clone();
  chosen.select(0, dim).copy_(place);
  return coo(chosen, values.index_select(0, entry), sizes, false);
}

// ---- conversions ----------------------------------------------------------------------------------------------------

template <c10::Layout kTo>
at::Tensor to_compressed(const at::Tensor& self, optional<int64_t> dense_dim) {
  if (self.layout() == kTo) return self.clone();
  return self.to_sparse().to_sparse(kTo, {}, dense_dim);
}

// ---- on a pattern ---------------------------------------------------------------------------------------------------

at::Tensor sampled_addmm(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                         const at::Scalar& alpha) {
  TORCH_CHECK_NOT_IMPLEMENTED(self.layout() == at::kSparseCsr && mat1.dim() == self.dim(),
                              "sparse_sampled_addmm is implemented for CSR tensors on npu, not for ", self.layout());
  TORCH_CHECK(mat1.size(-1) == mat2.size(-2), "sampled_addmm: mat1 and mat2 shapes cannot be multiplied (", mat1.size(-2), "x",
              mat1.size(-1), " and ", mat2.size(-2), "x", mat2.size(-1), ")");
  TORCH_CHECK(self.size(-2) == mat1.size(-2), "sampled_addmm: self.shape[-2] must match mat1.shape[-2]");
  TORCH_CHECK(self.size(-1) == mat2.size(-1), "sampled_addmm: self.shape[-1] must match mat2.shape[-1]");
  const Entries e = entries_of(self);
  const auto sampled = [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& rows, const at::Tensor& columns) {
    return a.index_select(0, rows).mul(b.t().index_select(0, columns)).sum(-1);
  };
  at::Tensor products;
  if (self.dim() == 2) {
    products = sampled(mat1, mat2, e.rows, e.columns);
  } else {
    const at::Tensor rows = e.rows.flatten(0, -2), columns = e.columns.flatten(0, -2);
    const at::Tensor a = mat1.flatten(0, -3), b = mat2.flatten(0, -3);
    std::vector<at::Tensor> parts;
    for (int64_t i = 0; i < a.size(0); ++i) parts.push_back(sampled(a[i], b[i], rows[i], columns[i]));
    products = at::stack(parts).reshape(self.values().sizes());
  }
  const at::Tensor values = beta.toComplexDouble() == 0. ? products.mul(alpha) : self.values().mul(beta).add(products, alpha);
  return at::_sparse_compressed_tensor_unsafe(self.crow_indices(), self.col_indices(), values, self.sizes(),
                                              values.options().layout(at::kSparseCsr));
}

// The second result tells the gradient which entry amax and amin chose: its number, or nnz where the row has none.
std::tuple<at::Tensor, at::Tensor> mm_reduce(const at::Tensor& self, const at::Tensor& other, string_view reduce) {
  TORCH_CHECK(self.layout() == at::kSparseCsr, "torch.sparse.mm(): expects self to be SparseCsr on npu, but got ", self.layout());
  TORCH_CHECK(self.size(1) == other.size(0), "sparse matrix and dense matrix shapes cannot be multiplied (", self.size(0), "x",
              self.size(1), " and ", other.size(0), "x", other.size(1), ")");
  const Entries e = entries_of(self);
  const at::Tensor products = other.index_select(0, e.columns).mul(e.values.unsqueeze(-1));
  const at::Tensor rows = e.rows.to(at::kLong).unsqueeze(-1).expand_as(products);
  const at::Tensor out = at::zeros({self.size(0), other.size(1)}, products.options())
                             .scatter_reduce(0, rows, products, reduce, /*include_self=*/false);
  if (reduce != "amax" && reduce != "amin") return {out, at::empty({0}, rows.options())};
  const int64_t nnz = e.values.size(0);
  const at::Tensor number = at::arange(nnz, rows.options()).unsqueeze(-1);
  const at::Tensor candidates = at::where(products.eq(out.gather(0, rows)), number, nnz);
  return {out, at::full(out.sizes(), nnz, rows.options()).scatter_reduce(0, rows, candidates, "amin", /*include_self=*/true)};
}

std::tuple<at::Tensor, at::Tensor> mm_reduce_backward(const at::Tensor& self, const at::Tensor& grad, const at::Tensor& other,
                                                      string_view reduce, const at::Tensor& chosen, std::array<bool, 2>) {
  const Entries e = entries_of(self);
  const int64_t nnz = e.values.size(0);
  at::Tensor values, dense = at::zeros_like(other);
  if (reduce == "amax" || reduce == "amin") {
    const at::Tensor g = grad.masked_fill(chosen.eq(nnz), 0), entry = chosen.clamp_max(nnz - 1);
    const at::Tensor column = e.columns.to(at::kLong).index_select(0, entry.flatten()).view_as(entry);
    values = at::zeros_like(e.values).index_add_(0, entry.flatten(), g.mul(other.gather(0, column)).flatten());
    dense.scatter_add_(0, column, g.mul(e.values.index_select(0, entry.flatten()).view_as(entry)));
  } else {
    at::Tensor g = grad.index_select(0, e.rows);
    if (reduce == "mean") g = g.div(self.crow_indices().diff().index_select(0, e.rows).unsqueeze(-1));
    values = g.mul(other.index_select(0, e.columns)).sum(-1);
    dense.index_add_(0, e.columns, g.mul(e.values.unsqueeze(-1)));
  }
  return {at::_sparse_compressed_tensor_unsafe(self.crow_indices(), self.col_indices(), values, self.sizes(),
                                               values.options().layout(at::kSparseCsr)), dense};
}

at::Tensor& sampled_addmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                              const at::Scalar& alpha, at::Tensor& out) {
  const at::Tensor result = sampled_addmm(self, mat1, mat2, beta, alpha);
  if (!out.is_same(self)) out.resize_as_sparse_(result);
  return out.copy_(result);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) {
  m.impl("_coalesce", TORCH_FN(coalesce));
  m.impl("add.out", TORCH_FN(add_out));
  m.impl("mul.out", TORCH_FN(mul_out));
  m.impl("addmm", TORCH_FN(sparse_addmm));
  m.impl("addmm.out", TORCH_FN(addmm_out));
  m.impl("addmm_", TORCH_FN(addmm_));
  m.impl("bmm", TORCH_FN(sparse_bmm));
  m.impl("bmm.out", TORCH_FN(bmm_out));
  m.impl("index_select", TORCH_FN(index_select_sparse));
}

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, m) {
  m.impl("addmm.out", TORCH_FN(addmm_out));
  m.impl("addmv.out", TORCH_FN(addmv_out));
  m.impl("_to_sparse_csr", TORCH_FN(to_compressed<at::kSparseCsr>));
  m.impl("_to_sparse_csc", TORCH_FN(to_compressed<at::kSparseCsc>));
  m.impl("_sparse_mm_reduce_impl", TORCH_FN(mm_reduce));
  m.impl("_sparse_mm_reduce_impl_backward", TORCH_FN(mm_reduce_backward));
  m.impl("sparse_sampled_addmm", TORCH_FN(sampled_addmm));
  m.impl("sparse_sampled_addmm.out", TORCH_FN(sampled_addmm_out));
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  for (const char* name : {"quantize_per_tensor", "quantize_per_tensor.tensor_qparams", "quantize_per_tensor.tensors",
                           "quantize_per_tensor_dynamic", "quantize_per_channel"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&refuse<kQuantized, kDequantize>>());
  }
}

TORCH_LIBRARY_IMPL(_, SparsePrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&refuse<kCoo, kDensify>>()); }
TORCH_LIBRARY_IMPL(_, SparseCsrPrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&refuse<kCompressed, kDensify>>()); }
TORCH_LIBRARY_IMPL(_, NestedTensorPrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&refuse<kNested, kJagged>>()); }
TORCH_LIBRARY_IMPL(_, QuantizedPrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&refuse<kQuantized, kDequantize>>()); }

}  // namespace torch_npu::ops
