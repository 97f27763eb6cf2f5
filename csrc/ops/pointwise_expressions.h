// Pointwise operators and scans that CANN has no function for, made of ones it has.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cmath>
#include <tuple>

#include "compat/compat.h"
#include "ops/rules.h"

namespace torch_npu::ops {

// Whether an operator on t may be computed in `wide` instead: float for half types and for integers (whose floating-point
// results are float anyway), an integer type for narrower ones.
bool widens(const at::Tensor& t, ScalarType wide);
// The dtype of a floating-point result: integers give the default dtype, complex numbers that of their parts.
ScalarType real_result_type(const at::Tensor& t);

// ---- one input ------------------------------------------------------------------------------------------------------
at::Tensor sigmoid_in_double(const at::Tensor& self);
at::Tensor tanh_in_double(const at::Tensor& self);
at::Tensor replaced_numbers(const at::Tensor& self, double nan, double posinf, double neginf);
at::Tensor magnitude_of(const at::Tensor& self);  // of complex numbers
at::Tensor angle_of(const at::Tensor& self);
// GELU for a CANN whose own has no choice of approximation.
at::Tensor gelu_of(const at::Tensor& self, c10::string_view approximate);
at::Tensor gelu_gradient_of(const at::Tensor& grad, const at::Tensor& self, c10::string_view approximate);
std::tuple<at::Tensor, at::Tensor> mantissa_and_exponent(const at::Tensor& self);

// ---- two inputs, brought to their common dtype first ------------------------------------------------------------------
at::Tensor copysign_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype);
at::Tensor lcm_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype);
at::Tensor hypot_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype);
at::Tensor nextafter_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype);
at::Tensor heaviside_of(const at::Tensor& self, const at::Tensor& values);
// The greater (less) of both, or the one that is a number.
at::Tensor greater_number(const at::Tensor& self, const at::Tensor& other, ScalarType dtype);
at::Tensor less_number(const at::Tensor& self, const at::Tensor& other, ScalarType dtype);

at::Tensor logaddexp_in_double(const at::Tensor& self, const at::Tensor& other, double base);
at::Tensor xlogy_of(const at::Tensor& self, const at::Tensor& other);
at::Tensor lerp_of(const at::Tensor& self, const at::Tensor& end, const at::Tensor& weight);

// ---- along dimensions -------------------------------------------------------------------------------------------------
inline bool is_fraction(const optional<at::Scalar>& correction) {
  return correction.has_value() && (!std::isfinite(correction->toDouble()) || correction->toDouble() != std::floor(correction->toDouble()));
}
// For corrections and dtypes that CANN's functions do not take.
at::Tensor variance(const at::Tensor& self, at::OptionalIntArrayRef dim, const optional<at::Scalar>& correction, bool keepdim);
at::Tensor vector_norm(const at::Tensor& self, const at::Scalar& ord, IntArrayRef dims, bool keepdim, ScalarType dtype);
at::Tensor logcumsumexp_of(const at::Tensor& self, int64_t dim);
std::tuple<at::Tensor, at::Tensor> mode_of(const at::Tensor& self, int64_t dim, bool keepdim);
// The exclusive or of all elements' bits, as int64.
at::Tensor xor_of_bits(const at::Tensor& self, IntArrayRef dims, bool keepdim);

// ---- softmax under a mask: true leaves an element out -------------------------------------------------------------------
at::Tensor masked_softmax(const at::Tensor& self, const at::Tensor& mask, optional<int64_t> dim, optional<int64_t> mask_type);
at::Tensor masked_softmax_backward(const at::Tensor& grad, const at::Tensor& output, const at::Tensor& mask, optional<int64_t> dim);

// ---- derivatives of glu -------------------------------------------------------------------------------------------------
at::Tensor glu_tangent(const at::Tensor& glu, const at::Tensor& x, const at::Tensor& dx, int64_t dim);
at::Tensor glu_backward_tangent(const at::Tensor& grad_glu, const at::Tensor& x, const at::Tensor& dgrad_glu, const at::Tensor& dx, int64_t dim);

}  // namespace torch_npu::ops
