#include "ops/fill_expressions.h"

#include <ATen/native/Resize.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/pow.h>

#include <cmath>

#include "ops/factory.h"

namespace torch_npu::ops {

Widened::Widened(at::Tensor& out, const launch::AclnnFunction& f, int parameter) : out_(out) {
  const auto takes = [&](at::ScalarType t) { return launch::dtype_documented(f, parameter, t); };
  if (takes(out.scalar_type())) return;
  const bool whole = at::isIntegralType(out.scalar_type(), /*includeBool=*/true);
  const at::ScalarType wide = whole && out.itemsize() < 4 && takes(at::kInt) ? at::kInt
                              : whole && takes(at::kLong)                    ? at::kLong
                              : takes(at::kDouble)                           ? at::kDouble
                                                                             : at::kFloat;
  wide_ = empty(out.sizes(), wide);
}

at::Tensor& Widened::finish() const { return wide_.defined() ? out_.copy_(wide_) : out_; }

at::Tensor& complex_linspace(const at::Scalar& start, const at::Scalar& end, int64_t steps, at::Tensor& out) {
  const c10::complex<double> from = start.toComplexDouble(), to = end.toComplexDouble();
  const auto part = out.options().dtype(at::kDouble);
  return out.copy_(at::complex(at::linspace(from.real(), to.real(), steps, part), at::linspace(from.imag(), to.imag(), steps, part))
                       .view(out.sizes()));
}

at::Tensor& logspace_by_pow(const at::Scalar& start, const at::Scalar& end, int64_t steps, double base, at::Tensor& out) {
  const at::ScalarType type = out.is_complex() ? at::kComplexDouble : at::kDouble;
  return out.copy_(at::pow(base, at::linspace(whole_for(out, start), whole_for(out, end), steps, out.options().dtype(type))).view(out.sizes()));
}

void resize_to_closed_range(const at::Tensor& out, const at::Scalar& start, const at::Scalar& end, const at::Scalar& step) {
  const double s = start.toDouble(), e = end.toDouble(), d = step.toDouble();
  TORCH_CHECK(d > 0 || d < 0, "step must be nonzero");
  TORCH_CHECK(std::isfinite(s) && std::isfinite(e), "unsupported range: ", s, " -> ", e);
  TORCH_CHECK((d > 0 && e >= s) || (d < 0 && e <= s), "upper bound and lower bound inconsistent with step sign");
  const auto n = static_cast<int64_t>((e - s) / d + 1);
  if (out.numel() != n) at::native::resize_output(out, {n});
}

}  // namespace torch_npu::ops
