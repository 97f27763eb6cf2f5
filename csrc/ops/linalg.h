// Linear algebra made of native operators, where CANN has no function. Matrices are in the last two dimensions.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_linalg_check_errors.h>

#include <tuple>

#include "compat/compat.h"

namespace torch_npu::ops {

// ---- LU -------------------------------------------------------------------------------------------------------------
void lu_factor(const at::Tensor& A, bool pivot, bool check_errors, const at::Tensor& LU, const at::Tensor& pivots,
               const at::Tensor& info);
void lu_solve(const at::Tensor& LU, const at::Tensor& pivots, const at::Tensor& B, bool left, bool adjoint, const at::Tensor& out);
void unpack_lu(const at::Tensor& LU, const at::Tensor& pivots, bool data, bool unpack_pivots, const at::Tensor& P,
               const at::Tensor& L, const at::Tensor& U);

// ---- triangular -----------------------------------------------------------------------------------------------------
at::Tensor solve_triangular(const at::Tensor& A, const at::Tensor& B, bool upper, bool left, bool unitriangular);
at::Tensor solve_triangular_checked(const at::Tensor& A, const at::Tensor& B, bool upper, bool left, bool unitriangular);

// ---- Cholesky -------------------------------------------------------------------------------------------------------
void cholesky_info(const at::Tensor& L, const at::Tensor& info);  // which minor is not positive definite
at::Tensor cholesky(const at::Tensor& A, bool upper);
at::Tensor cholesky_solve(const at::Tensor& B, const at::Tensor& L, bool upper);
at::Tensor cholesky_inverse(const at::Tensor& L, bool upper);

// ---- Householder reflectors -----------------------------------------------------------------------------------------
std::tuple<at::Tensor, at::Tensor> geqrf(const at::Tensor& A);
at::Tensor householder_product(const at::Tensor& A, const at::Tensor& tau);
at::Tensor ormqr(const at::Tensor& A, const at::Tensor& tau, const at::Tensor& C, bool left, bool transpose);
int64_t qr_mode(string_view mode);  // 0 reduced, 1 complete, 2 r

// ---- others ---------------------------------------------------------------------------------------------------------
void check_svd_driver(optional<string_view> driver);
at::Tensor matrix_exp(const at::Tensor& A);
at::Tensor linear_combination(const at::Tensor& input, const at::Tensor& coefficients);

}  // namespace torch_npu::ops
