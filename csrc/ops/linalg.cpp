// Factorisations and solvers made of native operators. Hand-written: they are loops over columns, which no row can say.
#include "ops/linalg.h"

#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/ops/_linalg_check_errors.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"

namespace torch_npu::ops {
namespace {

using at::Tensor;
using launch::Launch;

at::TensorOptions index_options(const Tensor& like) { return like.options().dtype(at::kLong); }

Tensor flat_batch(const Tensor& a) { return a.reshape({at::native::batchCount(a), a.size(-2), a.size(-1)}); }

// Rows of each matrix of `a` [batch, m, n] in the order `rows` [batch, k].
Tensor take_rows(const Tensor& a, const Tensor& rows) {
  const int64_t batch = a.size(0), m = a.size(1), n = a.size(2);
  const Tensor first = at::arange(batch, index_options(a)).mul(m).unsqueeze(1);
  return a.reshape({batch * m, n}).index_select(0, rows.add(first).flatten()).view({batch, rows.size(1), n});
}

// The row order that LAPACK's interchanges make: [batch, m].
Tensor row_order(const Tensor& pivots, int64_t m) {
  const int64_t k = pivots.size(-1), batch = k == 0 ? 1 : pivots.numel() / k;
  const Tensor order = at::arange(m, index_options(pivots)).expand({batch, m}).clone();
  const Tensor with = pivots.reshape({batch, k}).to(at::kLong).sub(1);
  for (int64_t i = 0; i < k; ++i) {
    const Tensor other = with.narrow(1, i, 1);
    const Tensor here = order.narrow(1, i, 1);
    const Tensor mine = here.clone();
    here.copy_(order.gather(1, other));
    order.scatter_(1, other, mine);
  }
  return order;
}

}  // namespace

void lu_factor(const Tensor& A, bool pivot, bool check_errors, const Tensor& LU, const Tensor& pivots, const Tensor& info) {
  const int64_t m = A.size(-2), n = A.size(-1), k = std::min(m, n);
  if (A.numel() == 0) {
    info.zero_();
    return;
  }
  Tensor a = flat_batch(A).clone(at::MemoryFormat::Contiguous);
  const int64_t batch = a.size(0);
  const Tensor rows = at::arange(m, index_options(A));
  std::vector<Tensor> chosen;
  for (int64_t i = 0; i < k; ++i) {
    if (pivot) {
      const Tensor column = a.select(2, i).narrow(1, i, m - i);
      const Tensor size = a.is_complex() ? at::view_as_real(column).abs().sum(-1) : column.abs();  // as LAPACK compares
      const Tensor p = size.argmax(1, true).add(i);
      chosen.push_back(p);
      const Tensor order = at::where(rows.eq(p), i, rows);
      order.narrow(1, i, 1).copy_(p);
      a = take_rows(a, order);
    }
    if (i + 1 == m) break;
    const Tensor diagonal = a.select(2, i).narrow(1, i, 1);
    const Tensor column = a.select(2, i).narrow(1, i + 1, m - i - 1);
    column.div_(at::where(diagonal.eq(0), at::ones_like(diagonal), diagonal));
    if (i + 1 < n) {
      const Tensor row = a.select(1, i).narrow(1, i + 1, n - i - 1);
      a.narrow(1, i + 1, m - i - 1).narrow(2, i + 1, n - i - 1).sub_(column.unsqueeze(2).mul(row.unsqueeze(1)));
    }
  }
  LU.copy_(a.view(A.sizes()));
  const Tensor order = pivot ? at::cat(chosen, 1).add(1) : at::arange(1, k + 1, index_options(A)).expand({batch, k});
  pivots.copy_(order.reshape(pivots.sizes()));
  const Tensor first_zero = at::where(a.diagonal(0, 1, 2).eq(0), at::arange(1, k + 1, index_options(A)), k + 1).amin(1);
  info.copy_(at::where(first_zero.eq(k + 1), 0, first_zero).reshape(info.sizes()));
  if (check_errors) at::_linalg_check_errors(info, "torch.linalg.lu_factor_ex", A.dim() == 2);
}

void lu_solve(const Tensor& LU, const Tensor& pivots, const Tensor& B, bool left, bool adjoint, const Tensor& out) {
  if (out.numel() == 0) return;
  if (!left) {
    const Tensor b = B.mH();
    const Tensor result = at::empty(out.mT().sizes(), out.options());
    lu_solve(LU, pivots, b.resolve_conj(), true, !adjoint, result);
    out.copy_(result.mH());
    return;
  }
  const auto [b_sizes, lu_sizes] = at::native::_linalg_broadcast_batch_dims(B, LU);
  const Tensor lu = LU.expand(lu_sizes);
  const int64_t n = lu.size(-1);
  auto pivot_sizes = lu_sizes;
  pivot_sizes.pop_back();
  const Tensor order = row_order(pivots.expand(pivot_sizes), n);
  const Tensor b = flat_batch(B.expand(b_sizes)), f = flat_batch(lu);
  Tensor x;
  if (adjoint) {
    const Tensor h = f.mH().resolve_conj();
    x = solve_triangular(h, b, false, true, false);
    x = solve_triangular(h, x, true, true, true);
    const Tensor back = at::zeros_like(order).scatter_(1, order, at::arange(n, order.options()).expand_as(order).contiguous());
    x = take_rows(x, back);
  } else {
    x = solve_triangular(f, take_rows(b, order), false, true, true);
    x = solve_triangular(f, x, true, true, false);
  }
  out.copy_(x.reshape(out.sizes()));
}

void unpack_lu(const Tensor& LU, const Tensor& pivots, bool data, bool unpack_pivots, const Tensor& P, const Tensor& L, const Tensor& U) {
  const int64_t m = LU.size(-2), k = std::min(m, LU.size(-1));
  if (data) {
    const Tensor lower = LU.narrow(-1, 0, k).tril(-1), upper = LU.narrow(-2, 0, k).triu();  // L or U may be LU itself
    L.copy_(lower);
    L.diagonal(0, -2, -1).fill_(1);
    U.copy_(upper);
  }
  if (unpack_pivots && P.numel() != 0) {
    std::vector<int64_t> sizes(LU.sizes().begin(), LU.sizes().end() - 1);
    sizes.back() = k;
    const Tensor order = row_order(pivots.narrow(-1, 0, k).expand(sizes), m);
    const Tensor rows = at::arange(m, order.options()).unsqueeze(1);
    P.copy_(rows.eq(order.unsqueeze(1)).to(P.scalar_type()).reshape(P.sizes()));
  }
}

Tensor solve_triangular(const Tensor& A, const Tensor& B, bool upper, bool left, bool unitriangular) {
  if (!left) return solve_triangular(A.mT(), B.mT(), !upper, true, unitriangular).mT();
  const auto [b_sizes, a_sizes] = at::native::_linalg_broadcast_batch_dims(B, A);
  const Tensor x = at::empty(b_sizes, B.options());
  if (x.numel() == 0) return x;
  const DeviceScope scope(A, B);
  // ATen hands conjugated views through to this operator.
  const Tensor a = A.resolve_conj().expand(a_sizes).contiguous(), b = B.resolve_conj().expand(b_sizes).contiguous();
  const Tensor copy = at::empty_like(a);
  Launch l(aclnn::aclnnTriangularSolve, "aten::linalg_solve_triangular");
  l.tensor(b), l.tensor(a), l.boolean(upper), l.boolean(false), l.boolean(unitriangular), l.tensor(x), l.tensor(copy);
  l.submit();
  return x;
}

Tensor solve_triangular_checked(const Tensor& A, const Tensor& B, bool upper, bool left, bool unitriangular) {
  at::native::checkInputsSolver(A, B, left, "linalg.solve_triangular");
  TORCH_CHECK(A.scalar_type() == B.scalar_type(), "linalg.solve_triangular: Expected A and B to have the same dtype, but found A of type ",
              A.scalar_type(), " and B of type ", B.scalar_type(), " instead");
  at::native::checkFloatingOrComplex(A, "linalg.solve_triangular", /*allow_low_precision_dtypes=*/false);
  return solve_triangular(A, B, upper, left, unitriangular);
}

void cholesky_info(const Tensor& L, const Tensor& info) {
  const int64_t n = L.size(-1);
  if (L.numel() == 0) {
    info.zero_();
    return;
  }
  const Tensor numbers = at::arange(1, n + 1, index_options(L));
  const Tensor first = at::where(L.diagonal(0, -2, -1).gt(0), n + 1, numbers).amin(-1);
  info.copy_(at::where(first.eq(n + 1), 0, first));
}

Tensor cholesky(const Tensor& A, bool upper) {
  if (A.numel() == 0) return at::empty_like(A, at::MemoryFormat::Contiguous);
  at::native::squareCheckInputs(A, "cholesky");
  const auto [L, info] = at::linalg_cholesky_ex(A, upper, false);
  at::_linalg_check_errors(info, "cholesky", A.dim() == 2);
  return L;
}

Tensor cholesky_solve(const Tensor& B, const Tensor& L, bool upper) {
  const Tensor h = L.mH().resolve_conj();
  const Tensor y = solve_triangular(upper ? h : L, B, false, true, false);
  return solve_triangular(upper ? L : h, y, true, true, false);
}

Tensor cholesky_inverse(const Tensor& L, bool upper) {
  at::native::squareCheckInputs(L, "cholesky_inverse");
  const Tensor one = at::zeros(L.sizes(), L.options());
  if (one.numel() == 0) return one;
  one.diagonal(0, -2, -1).fill_(1);
  const Tensor triangle = upper ? L.triu() : L.tril();
  return ops::cholesky_solve(one, triangle, upper);
}

std::tuple<Tensor, Tensor> geqrf(const Tensor& A) {
  at::native::checkIsMatrix(A, "torch.geqrf", "input");
  const int64_t m = A.size(-2), n = A.size(-1), k = std::min(m, n);
  std::vector<int64_t> tau_sizes(A.sizes().begin(), A.sizes().end() - 2);
  tau_sizes.push_back(k);
  if (A.numel() == 0) return {at::empty_like(A), at::zeros(tau_sizes, A.options())};
  const Tensor a = flat_batch(A).clone(at::MemoryFormat::Contiguous);
  const Tensor taus = at::zeros({a.size(0), k}, A.options());
  for (int64_t i = 0; i < k; ++i) {
    const Tensor column = a.select(2, i).narrow(1, i, m - i);
    const Tensor alpha = column.narrow(1, 0, 1).clone();
    const Tensor tail = column.narrow(1, 1, m - i - 1);
    // A column that is zero below the diagonal needs no reflection.
    const Tensor rest = at::linalg_vector_norm(tail, 2, at::IntArrayRef{1}, true);
    const Tensor norm = at::linalg_vector_norm(column, 2, at::IntArrayRef{1}, true);
    const Tensor beta = at::where(rest.eq(0), alpha, at::where(alpha.ge(0), norm.neg(), norm));
    const Tensor difference = alpha.sub(beta);
    const Tensor tau = difference.div(beta).neg();
    taus.narrow(1, i, 1).copy_(at::where(rest.eq(0), at::zeros_like(tau), tau));
    const Tensor here = taus.narrow(1, i, 1);
    tail.div_(at::where(rest.eq(0), at::ones_like(difference), difference));
    column.narrow(1, 0, 1).fill_(1);
    if (i + 1 < n) {
      const Tensor block = a.narrow(1, i, m - i).narrow(2, i + 1, n - i - 1);
      const Tensor v = column.unsqueeze(2);
      const Tensor w = block.mul(v).sum(1, true).mul(here.unsqueeze(2));
      block.sub_(v.mul(w));
    }
    column.narrow(1, 0, 1).copy_(beta);
  }
  return {a.view(A.sizes()), taus.view(tau_sizes)};
}

namespace {

// C := (I - tau v v^H) C for reflector number i of A.
void reflect(const Tensor& A, const Tensor& tau, int64_t i, const Tensor& C) {
  const int64_t m = A.size(1);
  const Tensor v = A.select(2, i).narrow(1, i, m - i).clone();
  v.narrow(1, 0, 1).fill_(1);
  const Tensor rows = C.narrow(1, i, m - i);
  const Tensor w = rows.mul(v.conj_physical().unsqueeze(2)).sum(1, true).mul(tau.narrow(1, i, 1).unsqueeze(2));
  rows.sub_(v.unsqueeze(2).mul(w));
}

}  // namespace

Tensor householder_product(const Tensor& A, const Tensor& tau) {
  TORCH_CHECK(A.dim() >= 2, "torch.linalg.householder_product: input must have at least 2 dimensions.");
  TORCH_CHECK(A.size(-2) >= A.size(-1),
              "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]");
  TORCH_CHECK(A.size(-1) >= tau.size(-1),
              "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]");
  TORCH_CHECK(A.dim() - tau.dim() == 1, "torch.linalg.householder_product: Expected tau to have one dimension less than input, but got "
              "tau.ndim equal to ", tau.dim(), " and input.ndim is equal to ", A.dim());
  TORCH_CHECK(tau.sizes().slice(0, tau.dim() - 1) == A.sizes().slice(0, A.dim() - 2),
              "torch.linalg.householder_product: Expected batch dimensions of tau to be equal to input.shape[:-2], but got ",
              tau.sizes().slice(0, tau.dim() - 1));
  TORCH_CHECK(tau.scalar_type() == A.scalar_type(), "torch.linalg.householder_product: tau dtype ", tau.scalar_type(),
              " does not match input dtype ", A.scalar_type());
  const Tensor q = at::zeros(A.sizes(), A.options());
  if (q.numel() == 0) return q;
  q.diagonal(0, -2, -1).fill_(1);
  const Tensor a = flat_batch(A), t = tau.reshape({a.size(0), tau.size(-1)}), c = q.view(a.sizes());
  for (int64_t i = tau.size(-1) - 1; i >= 0; --i) reflect(a, t, i, c);
  return q;
}

Tensor ormqr(const Tensor& A, const Tensor& tau, const Tensor& C, bool left, bool transpose) {
  TORCH_CHECK(A.dim() >= 2, "torch.ormqr: input must have at least 2 dimensions.");
  TORCH_CHECK(C.dim() >= 2, "torch.ormqr: other must have at least 2 dimensions.");
  const int64_t side = left ? -2 : -1;
  TORCH_CHECK(C.size(side) == A.size(-2), "torch.ormqr: other.shape[", side, "] must be equal to input.shape[-2]");
  TORCH_CHECK(tau.size(-1) == std::min(C.size(side), A.size(-1)), "torch.ormqr: tau.shape[-1] must be equal to min(other.shape[", side,
              "], input.shape[-1])");
  TORCH_CHECK(A.dim() - tau.dim() == 1, "torch.ormqr: Expected tau to have one dimension less than input, but got tau.ndim equal to ",
              tau.dim(), " and input.ndim is equal to ", A.dim());
  TORCH_CHECK(A.dim() == C.dim(), "torch.ormqr: Expected other to have the same number of dimensions as input, but got other.ndim equal to ",
              C.dim(), " and input.ndim is equal to ", A.dim());
  if (C.numel() == 0) return at::empty_like(C);
  // C Q is (Q^H C^H)^H, so the right side is the left one with the other order of reflectors.
  if (!left) return ops::ormqr(A, tau, C.mH().resolve_conj(), true, !transpose).mH().resolve_conj().contiguous();
  const Tensor result = flat_batch(C).clone(at::MemoryFormat::Contiguous);
  const Tensor a = flat_batch(A), t = tau.reshape({a.size(0), tau.size(-1)});
  const int64_t k = tau.size(-1);
  for (int64_t i = 0; i < k; ++i) {
    if (transpose) reflect(a, t.conj_physical(), i, result);
    else reflect(a, t, k - 1 - i, result);
  }
  return result.view(C.sizes());
}

// Scaling and squaring: the Taylor polynomial of degree 15 in blocks of four powers (Paterson and Stockmeyer).
Tensor matrix_exp(const Tensor& A) {
  at::native::squareCheckInputs(A, "linalg.matrix_exp");
  at::native::checkFloatingOrComplex(A, "linalg.matrix_exp");
  if (A.numel() == 0) return at::empty_like(A, at::MemoryFormat::Contiguous);
  if (A.size(-1) == 1) return A.exp();
  const Tensor a = flat_batch(A);
  const bool single = at::toRealValueType(A.scalar_type()) != at::kDouble;
  const double limit = single ? 2 : 0.5;  // of the 1-norm, so that the remainder vanishes in rounding
  const Tensor powers = a.abs().sum(1).amax(1).div(limit).log2().ceil().clamp_min(0).view({-1, 1, 1});
  const Tensor scale = at::where(powers.isfinite(), powers, at::zeros_like(powers));  // of infinity no power of two is small
  const Tensor x = a.mul(at::exp2(scale.neg()));
  const Tensor x2 = x.bmm(x), x3 = x2.bmm(x), x4 = x2.bmm(x2);
  const Tensor one = at::zeros_like(x);
  one.diagonal(0, 1, 2).fill_(1);
  double factorial[16] = {1};
  for (int i = 1; i < 16; ++i) factorial[i] = factorial[i - 1] * i;
  const auto block = [&](int i) {
    return one.div(factorial[i]).add(x, 1 / factorial[i + 1]).add(x2, 1 / factorial[i + 2]).add(x3, 1 / factorial[i + 3]);
  };
  Tensor result = block(12);
  for (int i = 8; i >= 0; i -= 4) result = result.bmm(x4).add(block(i));
  const double most = scale.max().item<double>();
  for (int i = 0; i < most; ++i) result = at::where(scale.gt(i), result.bmm(result), result);
  return result.view(A.sizes());
}

int64_t qr_mode(string_view mode) { return mode == "complete" ? 1 : mode == "r" ? 2 : 0; }

void check_svd_driver(optional<string_view> driver) {
  TORCH_CHECK(!driver.has_value(), "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.");
}

Tensor linear_combination(const Tensor& input, const Tensor& coefficients) {
  TORCH_CHECK(input.ndimension() > 0 && input.numel() > 0, "Empty tensor not supported");
  const Tensor c = coefficients.to(input.options());
  std::vector<int64_t> sizes = input.sizes().vec(), shape(input.dim() + 1, 1);
  sizes[0] = shape[0] = c.size(0);
  shape[1] = c.size(1);
  if (input.scalar_type() == at::kFloat) return at::mm(c, input.reshape({input.size(0), -1})).view(sizes);
  return input.unsqueeze(0).mul(c.view(shape)).sum(1);
}

}  // namespace torch_npu::ops
