// Matrix products with other result types. Rows of linear.yaml use these.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>

namespace torch_npu::ops {

inline at::Tensor absent() { return {}; }

inline at::Tensor wide_matmul(const at::Tensor& a, const at::Tensor& b, at::ScalarType out_dtype) {
  TORCH_CHECK(a.scalar_type() == b.scalar_type(), "expected the factors to have the same dtype, but got: ", a.scalar_type(), " != ",
              b.scalar_type());
  TORCH_CHECK(out_dtype == a.scalar_type() || (out_dtype == at::kFloat && (a.scalar_type() == at::kHalf || a.scalar_type() == at::kBFloat16)),
              "out_dtype must be the same as input dtype or fp32 for fp16/bf16 inputs");
  return at::matmul(a.to(out_dtype), b.to(out_dtype));
}

inline at::Tensor addmm_wide(const at::Tensor& product, const at::Tensor& self, const at::Scalar& beta, const at::Scalar& alpha) {
  const at::Tensor scaled = alpha.equal(1) ? product : product.mul(alpha);
  return beta.equal(0) ? scaled : scaled.add(self.to(product.scalar_type()), beta);
}

// CANN multiplies no complex matrices: four real products, for complex64. ATen hands conjugated views through to products.
inline bool complex_factors(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kComplexFloat && b.scalar_type() == at::kComplexFloat;
}

inline at::Tensor complex_product(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = at::view_as_real(a.resolve_conj()), y = at::view_as_real(b.resolve_conj());
  const at::Tensor xr = x.select(-1, 0), xi = x.select(-1, 1), yr = y.select(-1, 0), yi = y.select(-1, 1);
  const at::Tensor re = at::matmul(xr, yr).sub(at::matmul(xi, yi)), im = at::matmul(xr, yi).add(at::matmul(xi, yr));
  return at::view_as_complex(at::stack({re, im}, -1));
}

inline void check_int_mm(const at::Tensor& self, const at::Tensor& mat2) {
  TORCH_CHECK(self.dim() == 2, "Expected self to be of dimension 2 but got ", self.dim());
  TORCH_CHECK(mat2.dim() == 2, "Expected mat2 to be of dimension 2 but got ", mat2.dim());
  TORCH_CHECK(self.size(1) == mat2.size(0), "self.size(1) needs to match mat2.size(0) but got ", self.size(1), " and ", mat2.size(0));
  TORCH_CHECK(self.scalar_type() == at::kChar, "Expected self dtype to be of type int8 but got ", self.scalar_type());
  TORCH_CHECK(mat2.scalar_type() == at::kChar, "Expected mat2 dtype to be of type int8 but got ", mat2.scalar_type());
}

}  // namespace torch_npu::ops
