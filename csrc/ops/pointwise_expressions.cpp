#include "ops/pointwise_expressions.h"

#include <ATen/ATen.h>
#include <ATen/WrapDimUtils.h>

#include <cmath>
#include <limits>

#include "ops/common.h"
#include "ops/expressions.h"

namespace torch_npu::ops {
namespace {

// An integer of the same width, and where its fields are.
struct FloatFormat {
  ScalarType bits;
  int64_t mantissa_bits, exponent_mask, bias;
};

FloatFormat format_of(ScalarType dtype) {
  switch (dtype) {
    case at::kDouble: return {at::kLong, 52, 0x7ff, 1023};
    case at::kFloat: return {at::kInt, 23, 0xff, 127};
    case at::kBFloat16: return {at::kShort, 7, 0xff, 127};
    default: return {at::kShort, 10, 0x1f, 15};
  }
}

bool is_narrow_float(ScalarType dtype) { return dtype == at::kHalf || dtype == at::kBFloat16; }

// x without its first `n` (with `from` = n) or last elements along dim.
at::Tensor part(const at::Tensor& x, int64_t dim, int64_t from, int64_t n) { return x.narrow(dim, from, n); }

}  // namespace

bool widens(const at::Tensor& t, ScalarType wide) {
  const ScalarType from = t.scalar_type();
  if (!is_npu(t) && !c10::isIntegralType(from, true)) return wide == at::kFloat && !t.is_complex();  // a number
  if (c10::isIntegralType(from, true)) return c10::elementSize(from) <= c10::elementSize(wide) || wide == at::kFloat;
  return is_narrow_float(from) && wide == at::kFloat;
}

at::Tensor sigmoid_in_double(const at::Tensor& self) { return self.neg().exp_().add_(1).reciprocal_(); }

at::Tensor tanh_in_double(const at::Tensor& self) {
  const at::Tensor x = self.clamp_min(-30).clamp_max_(30);  // the result is 1 long before
  return x.sinh().div(x.cosh());
}

at::Tensor replaced_numbers(const at::Tensor& self, double nan, double posinf, double neginf) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto number = [&](double value) { return at::full({}, value, self.options()); };
  const at::Tensor low = at::where(at::eq(self, -infinity), number(neginf), self);
  return at::where(at::isnan(self), number(nan), at::where(at::eq(self, infinity), number(posinf), low));
}

at::Tensor magnitude_of(const at::Tensor& self) {
  const at::Tensor parts = at::view_as_real(self);
  return hypot_of(parts.select(-1, 0), parts.select(-1, 1), parts.scalar_type());
}

at::Tensor logaddexp_in_double(const at::Tensor& self, const at::Tensor& other, double base) {
  const double scale = std::log(base);
  const at::Tensor a = cast_to(self, at::kDouble), b = cast_to(other, at::kDouble);
  const at::Tensor high = at::maximum(a, b);
  const at::Tensor sum = at::sub(a, b).abs_().mul_(-scale).exp_().log1p_().div_(scale).add_(high);
  return at::where(at::logical_and(at::eq(a, b), at::eq(a.abs(), std::numeric_limits<double>::infinity())), a, sum);
}

at::Tensor xlogy_of(const at::Tensor& self, const at::Tensor& other) {
  const at::Device device = (is_cpu_scalar(self) ? other : self).device();
  const at::Tensor x = self.to(device, at::kDouble), y = other.to(device, at::kDouble);
  const at::Tensor product = at::where(at::eq(x, 0), at::zeros_like(x), x.mul(y.log()));
  return at::where(at::isnan(y), y, product);
}

at::Tensor lerp_of(const at::Tensor& self, const at::Tensor& end, const at::Tensor& weight) {
  const at::Tensor w = cast_to(weight, self.scalar_type()), distance = end.sub(self);
  // No infinite part of w is subtracted, which would multiply it by a complex 1 and so make the other part NaN.
  return at::where(at::lt(w.abs(), 0.5), distance.mul(w).add(self), distance.mul(w.neg().add(1)).neg().add(end));
}

ScalarType real_result_type(const at::Tensor& t) {
  if (c10::isIntegralType(t.scalar_type(), true)) return c10::typeMetaToScalarType(c10::get_default_dtype());
  return c10::toRealValueType(t.scalar_type());
}

at::Tensor angle_of(const at::Tensor& self) {
  if (self.is_complex()) {
    const at::Tensor parts = at::view_as_real(self);
    return at::atan2(parts.select(-1, 1), parts.select(-1, 0));
  }
  const at::Tensor x = self.to(real_result_type(self));
  return at::where(at::isnan(x), x, at::lt(x, 0).to(x.scalar_type()).mul(M_PI));
}

std::tuple<at::Tensor, at::Tensor> mantissa_and_exponent(const at::Tensor& self) {
  TORCH_CHECK(at::isFloatingType(self.scalar_type()), "torch.frexp() only supports floating-point dtypes");
  const at::Tensor x = is_narrow_float(self.scalar_type()) ? self.to(at::kFloat) : self.contiguous();
  const FloatFormat f = format_of(x.scalar_type());
  // Subnormal numbers become normal ones by a power of two, which the exponent then gives back.
  const double smallest = std::ldexp(1.0, static_cast<int>(1 - f.bias));
  const int64_t shift = f.mantissa_bits + 1;
  const at::Tensor magnitude = x.abs();
  const at::Tensor subnormal = at::lt(magnitude, smallest);
  const at::Tensor normal = at::where(subnormal, x.mul(std::ldexp(1.0, static_cast<int>(shift))), x);
  const at::Tensor bits = normal.view(f.bits);
  const at::Tensor stored = at::bitwise_and(at::bitwise_right_shift(bits, at::Scalar(f.mantissa_bits)), at::Scalar(f.exponent_mask));
  const int64_t keep = ~(f.exponent_mask << f.mantissa_bits);
  const at::Tensor half_to_one =
      at::bitwise_or(at::bitwise_and(bits, at::Scalar(keep)), at::Scalar((f.bias - 1) << f.mantissa_bits)).view(x.scalar_type());
  const at::Tensor exponent = stored.to(at::kInt).sub(f.bias - 1).sub(subnormal.to(at::kInt).mul(shift));
  // Zero, infinity and NaN are their own mantissa.
  const at::Tensor plain = at::logical_or(at::eq(magnitude, 0), at::logical_not(at::lt(magnitude, std::numeric_limits<double>::infinity())));
  return {at::where(plain, x, half_to_one).to(self.scalar_type()), at::where(plain, at::zeros_like(exponent), exponent)};
}

at::Tensor copysign_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype) {
  const at::Tensor magnitude = cast_to(self, dtype).abs();
  return at::where(at::signbit(cast_to(other, dtype)), magnitude.neg(), magnitude);
}

at::Tensor lcm_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype) {
  const at::Tensor a = cast_to(self, dtype), b = cast_to(other, dtype);
  const at::Tensor divisor = at::gcd(a, b);
  // Both are 0 where the divisor is. That of the lowest number may be negative.
  return at::div(a, divisor.masked_fill(divisor.eq(0), 1), "trunc").mul(b).abs();
}

at::Tensor hypot_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype) {
  const ScalarType wide = is_narrow_float(dtype) ? at::kFloat : dtype;
  const at::Tensor a = cast_to(self, wide).abs(), b = cast_to(other, wide).abs();
  const at::Tensor high = at::maximum(a, b), low = at::minimum(a, b);
  // Scaled by the greater one, so that no square overflows; infinity wins over NaN.
  const at::Tensor ratio = low.div(at::where(at::eq(high, 0), at::ones_like(high), high));
  const at::Tensor length = ratio.square().add(1).sqrt().mul(high);
  const double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor infinite = at::logical_or(at::eq(a, infinity), at::eq(b, infinity));
  return at::where(infinite, at::full_like(length, infinity), length);
}

at::Tensor nextafter_of(const at::Tensor& self, const at::Tensor& other, ScalarType dtype) {
  const FloatFormat f = format_of(dtype);
  auto pair = at::broadcast_tensors({cast_to(self, dtype), cast_to(other, dtype)});
  const at::Tensor from = pair[0].contiguous(), to = pair[1];
  // Away from zero is the next greater number as an integer, towards zero the next smaller one.
  const at::Tensor outward = at::eq(at::lt(from, to), at::gt(from, 0));
  const at::Tensor step = outward.to(f.bits).mul(2).sub(1);
  const at::Tensor moved = from.view(f.bits).add(step).view(dtype);
  const at::Tensor least = at::full_like(from.view(f.bits), 1).view(dtype);
  const at::Tensor off_zero = at::where(at::gt(to, 0), least, least.neg());
  const at::Tensor changed = at::where(at::eq(from, 0), off_zero, moved);
  const at::Tensor result = at::where(at::eq(from, to), to, changed);
  return at::where(at::logical_or(at::isnan(from), at::isnan(to)), from.add(to), result);
}

namespace {

at::Tensor in_float(const at::Tensor& t) { return is_narrow_float(t.scalar_type()) ? t.to(at::kFloat) : t; }

// tanh's argument is kBeta * (x + kCubic * x^3).
constexpr double kBeta = M_SQRT2 * M_2_SQRTPI * 0.5, kCubic = 0.044715;

at::Tensor tanh_of_gelu(const at::Tensor& x) { return x.mul(x).mul(kCubic).add(1).mul(x).mul(kBeta).tanh(); }

}  // namespace

at::Tensor gelu_of(const at::Tensor& self, c10::string_view approximate) {
  const at::Tensor x = in_float(self);
  const at::Tensor s_curve = gelu_mode(approximate) == 1 ? tanh_of_gelu(x) : x.mul(M_SQRT1_2).erf();
  return s_curve.add(1).mul(x).mul(0.5);
}

at::Tensor gelu_gradient_of(const at::Tensor& grad, const at::Tensor& self, c10::string_view approximate) {
  const at::Tensor x = in_float(self), square = x.mul(x);
  if (gelu_mode(approximate) == 1) {
    const at::Tensor t = tanh_of_gelu(x);
    const at::Tensor slope = at::rsub(t.mul(t), 1).mul(square.mul(3 * kCubic).add(1)).mul(kBeta);
    return in_float(grad).mul(slope.mul(x).add(t).add(1).mul(0.5));
  }
  const at::Tensor density = square.mul(-0.5).exp().mul(M_2_SQRTPI * M_SQRT1_2 * 0.5);
  return in_float(grad).mul(x.mul(M_SQRT1_2).erf().add(1).mul(0.5).add(density.mul(x)));
}

at::Tensor heaviside_of(const at::Tensor& self, const at::Tensor& values) {
  const at::Tensor x = cast_to(self, self.scalar_type());
  return at::where(at::eq(x, 0), cast_to(values, values.scalar_type()), at::gt(x, 0).to(x.scalar_type()));
}

namespace {

at::Tensor number_of(const at::Tensor& a, const at::Tensor& b, const at::Tensor& chosen) {
  if (!at::isFloatingType(chosen.scalar_type())) return chosen;
  return at::where(at::isnan(a), b, at::where(at::isnan(b), a, chosen));
}

}  // namespace

at::Tensor greater_number(const at::Tensor& self, const at::Tensor& other, ScalarType dtype) {
  const at::Tensor a = cast_to(self, dtype), b = cast_to(other, dtype);
  return number_of(a, b, at::maximum(a, b));
}

at::Tensor less_number(const at::Tensor& self, const at::Tensor& other, ScalarType dtype) {
  const at::Tensor a = cast_to(self, dtype), b = cast_to(other, dtype);
  return number_of(a, b, at::minimum(a, b));
}

at::Tensor variance(const at::Tensor& self, at::OptionalIntArrayRef dim, const optional<at::Scalar>& correction, bool keepdim) {
  const DimVector dims = dims_or_all(dim, self);
  int64_t n = 1;
  if (self.dim() != 0) {
    for (int64_t d : dims) n *= self.size(at::maybe_wrap_dim(d, self.dim()));
  }
  const at::Tensor x = is_narrow_float(self.scalar_type()) ? self.to(at::kFloat) : self;
  const at::Tensor mean = at::mean(x, dims, true), distance = x.sub(mean);
  const at::Tensor square = distance.is_complex() ? at::view_as_real(distance.contiguous()).square().sum(-1) : distance.square();
  const double divisor = std::max(0.0, static_cast<double>(n) - (correction.has_value() ? correction->toDouble() : 1.0));
  return at::sum(square, dims, keepdim).div(divisor);
}

at::Tensor vector_norm(const at::Tensor& self, const at::Scalar& ord, IntArrayRef dims, bool keepdim, ScalarType dtype) {
  const double p = ord.toDouble();
  // By abs, of the same rounding: the gradient of the greatest (least) one looks for where abs equals the norm.
  const at::Tensor x = (self.scalar_type() == at::kComplexHalf ? magnitude_of(self) : self.abs()).to(c10::toRealValueType(dtype));
  if (p == std::numeric_limits<double>::infinity()) return at::amax(x, dims, keepdim);
  if (p == -std::numeric_limits<double>::infinity()) return at::amin(x, dims, keepdim);
  if (p == 0) return at::sum(at::ne(x, 0).to(x.scalar_type()), dims, keepdim);
  if (p == 1) return at::sum(x, dims, keepdim);
  if (p == 2) return at::sum(x.square(), dims, keepdim).sqrt();
  return at::sum(x.pow(p), dims, keepdim).pow(1 / p);
}

at::Tensor logcumsumexp_of(const at::Tensor& self, int64_t dim) {
  const int64_t d = at::maybe_wrap_dim(dim, self.dim());
  if (self.dim() == 0 || self.numel() == 0) return self.clone();
  const int64_t n = self.size(d);
  at::Tensor out = is_narrow_float(self.scalar_type()) ? self.to(at::kFloat) : self.clone();
  // Prefixes of doubling length: stable, where one sum over exponentials scaled by the whole maximum is not.
  for (int64_t length = 1; length < n; length *= 2) {
    const at::Tensor head = part(out, d, 0, length);
    const at::Tensor tail = at::logaddexp(part(out, d, length, n - length), part(out, d, 0, n - length));
    out = at::cat({head, tail}, d);
  }
  return out;
}

std::tuple<at::Tensor, at::Tensor> mode_of(const at::Tensor& self, int64_t dim, bool keepdim) {
  TORCH_CHECK_NOT_IMPLEMENTED(!self.is_complex(), "\"mode_npu\" not implemented for '", self.scalar_type(), "'");
  const Spec spec = reduced(self, dim, keepdim, self.scalar_type());
  const int64_t d = at::maybe_wrap_dim(dim, self.dim());
  if (self.dim() == 0) return {self.clone(), at::zeros({}, self.options().dtype(at::kLong))};
  TORCH_CHECK_INDEX(self.size(d) != 0, "mode(): Expected reduction dim ", d, " to have non-zero size.");
  if (self.numel() == 0) return {at::empty(spec.sizes, self.options()), at::empty(spec.sizes, self.options().dtype(at::kLong))};
  const int64_t n = self.size(d);
  const auto [sorted, order] = at::sort(self, true, d, false);
  // For each position of the sorted row, the length of the run of equal values so far; the first longest one is the mode.
  const at::Tensor starts = at::ne(part(sorted, d, 1, n - 1), part(sorted, d, 0, n - 1));
  const at::Tensor first = at::ones_like(part(sorted, d, 0, 1), sorted.options().dtype(at::kBool));
  at::DimVector row(self.dim(), 1);
  row[d] = n;
  const at::Tensor position = at::arange(n, self.options().dtype(at::kLong)).view(row);
  const at::Tensor run_start = std::get<0>(at::cummax(at::cat({first, starts}, d).to(at::kLong).mul(position), d));
  const at::Tensor at_mode = at::argmax(position.sub(run_start), d, true);
  at::Tensor values = sorted.gather(d, at_mode), indices = order.gather(d, at_mode);
  if (!keepdim) return {values.squeeze(d), indices.squeeze(d)};
  return {values, indices};
}

at::Tensor xor_of_bits(const at::Tensor& self, IntArrayRef dims, bool keepdim) {
  TORCH_CHECK_NOT_IMPLEMENTED(!self.is_complex(), "\"xor_sum_npu\" not implemented for '", self.scalar_type(), "'");
  at::Tensor x = at::isFloatingType(self.scalar_type()) ? self.to(at::kDouble).contiguous().view(at::kLong)
                 : self.scalar_type() == at::kUInt64     ? self.view(at::kLong)
                                                         : self.to(at::kLong);
  const Spec spec = reduced(self, dims, keepdim, at::kLong);
  for (int64_t given : dims_or_all(dims, self)) {
    if (x.dim() == 0) break;
    const int64_t d = at::maybe_wrap_dim(given, x.dim());
    // Halves are combined until one element is left; an odd one waits for the next round.
    while (x.size(d) > 1) {
      const int64_t n = x.size(d), half = n / 2;
      const at::Tensor folded = at::bitwise_xor(part(x, d, 0, half), part(x, d, half, half));
      x = n % 2 != 0 ? at::cat({folded, part(x, d, n - 1, 1)}, d) : folded;
    }
  }
  return x.reshape(spec.sizes);
}

at::Tensor masked_softmax(const at::Tensor& self, const at::Tensor& mask, optional<int64_t> dim, optional<int64_t> mask_type) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "Mask should be a boolean tensor");
  at::Tensor left_out = mask;
  if (self.dim() == 4 && mask.dim() == 2 && mask_type.has_value()) {
    if (*mask_type == 0) left_out = mask.view({1, 1, mask.size(0), mask.size(1)});
    if (*mask_type == 1) left_out = mask.view({mask.size(0), 1, 1, mask.size(1)});
  }
  left_out = left_out.expand(self.sizes());
  return at::_softmax(self.masked_fill(left_out, -std::numeric_limits<double>::infinity()), dim.value_or(self.dim() - 1), false);
}

at::Tensor masked_softmax_backward(const at::Tensor& grad, const at::Tensor& output, const at::Tensor& mask, optional<int64_t> dim) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "Mask should be a boolean tensor");
  const at::Tensor left_out = mask.expand(grad.sizes());
  return at::_softmax_backward_data(grad.masked_fill(left_out, 0), output.masked_fill(left_out, 0), dim.value_or(output.dim() - 1),
                                    grad.scalar_type());
}

at::Tensor glu_tangent(const at::Tensor& glu, const at::Tensor& x, const at::Tensor& dx, int64_t dim) {
  const int64_t d = at::maybe_wrap_dim(dim, x.dim()), n = glu.size(d);
  const at::Tensor gate = at::sigmoid(part(x, d, n, n));
  return part(dx, d, 0, n).mul(gate).add(glu.mul(at::rsub(gate, 1)).mul(part(dx, d, n, n)));
}

at::Tensor glu_backward_tangent(const at::Tensor& grad_glu, const at::Tensor& x, const at::Tensor& dgrad_glu, const at::Tensor& dx, int64_t dim) {
  const int64_t d = at::maybe_wrap_dim(dim, x.dim()), n = grad_glu.size(d);
  const at::Tensor a = part(x, d, 0, n), gate = at::sigmoid(part(x, d, n, n));
  const at::Tensor da = part(dx, d, 0, n), db = part(dx, d, n, n);
  const at::Tensor slope = gate.mul(at::rsub(gate, 1));           // of the gate
  const at::Tensor curvature = slope.mul(at::rsub(gate.mul(2), 1));  // of the gate's slope
  const at::Tensor of_a = dgrad_glu.mul(gate).add(grad_glu.mul(slope).mul(db));
  const at::Tensor of_b = dgrad_glu.mul(a).add(grad_glu.mul(da)).mul(slope).add(grad_glu.mul(a).mul(curvature).mul(db));
  return at::cat({of_a, of_b}, d);
}

}  // namespace torch_npu::ops
