// Special functions that CANN has no function for, composed of native operators. Arguments and results are float32 or float64:
// the generated kernels convert (the `value` key of a row).
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>

namespace torch_npu::ops::special {

at::Tensor entr(const at::Tensor& x);
at::Tensor xlog1py(const at::Tensor& x, const at::Tensor& y);
at::Tensor erfcx(const at::Tensor& x);
at::Tensor log_ndtr(const at::Tensor& x);
at::Tensor ndtri(const at::Tensor& x);
at::Tensor zeta(const at::Tensor& x, const at::Tensor& q);
at::Tensor polygamma(int64_t n, const at::Tensor& x);
at::Tensor airy_ai(const at::Tensor& x);
at::Tensor spherical_bessel_j0(const at::Tensor& x);

// Order 0 or 1.
at::Tensor bessel_j(int order, const at::Tensor& x);
at::Tensor bessel_y(int order, const at::Tensor& x);
at::Tensor modified_bessel_i(int order, const at::Tensor& x, bool scaled);  // scaled: times exp(-|x|)
at::Tensor modified_bessel_k(int order, const at::Tensor& x, bool scaled);  // scaled: times exp(x)

// a + b * j
struct Linear {
  double a = 0, b = 0;
  double operator()(int64_t j) const { return a + b * static_cast<double>(j); }
  bool is(double value) const { return a == value && b == 0; }
};

// Orthogonal polynomials by their recurrence p(j+1) = ((stretch(j) s + shift(j)) p(j) - back(j) p(j-1)) / divide(j), where s and
// p(1) are linear in t, the argument or, on [0, 1], twice the argument less one; p(0) = 1.
struct Family {
  bool shifted = false;
  Linear s, first;
  Linear stretch{1}, shift{0}, back{1}, divide{1};
  // Chebyshev's kinds have a closed form in acos(t), used within (-1, 1) above this degree, and values at the ends.
  char kind = 0;
  int64_t closed_above = 0;
  Linear at_one, at_minus_one;  // of n; at -1 the sign alternates with n
  int64_t highest_float = std::numeric_limits<int64_t>::max(), highest_double = highest_float;  // NaN beyond
};

constexpr Family chebyshev_kind(char kind, double p1, bool shifted, int64_t closed_above, Linear at_one, Linear at_minus_one) {
  Family f;
  f.shifted = shifted;
  f.s = {0, 2};
  f.first = kind == 'T' ? Linear{0, 1} : Linear{p1, 2};
  f.kind = kind;
  f.closed_above = closed_above;
  f.at_one = at_one;
  f.at_minus_one = at_minus_one;
  return f;
}
constexpr Family chebyshev_t(bool shifted) { return chebyshev_kind('T', 0, shifted, 6, {1}, {1}); }
constexpr Family chebyshev_u(bool shifted) { return chebyshev_kind('U', 0, shifted, shifted ? 6 : 8, {1, 1}, {1, 1}); }
constexpr Family chebyshev_v(bool shifted) { return chebyshev_kind('V', -1, shifted, shifted ? 6 : 8, {1}, {1, 2}); }
constexpr Family chebyshev_w(bool shifted) { return chebyshev_kind('W', 1, shifted, shifted ? 4 : 8, {1, 2}, {1}); }
constexpr Family hermite_h{false, {0, 2}, {0, 2}, {1}, {0}, {0, 2}, {1}, 0, 0, {}, {}, 128, 512};
constexpr Family hermite_he{false, {0, 1}, {0, 1}, {1}, {0}, {0, 1}, {1}, 0, 0, {}, {}, 128, 512};
constexpr Family laguerre_l{false, {1, -1}, {1, -1}, {1}, {0, 2}, {0, 1}, {1, 1}};
constexpr Family legendre_p{false, {0, 1}, {0, 1}, {1, 2}, {0}, {0, 1}, {1, 1}};

// The degree n is a tensor; a 0-dim CPU one (a Python number) costs no reading back.
at::Tensor polynomial(const Family& family, const at::Tensor& x, const at::Tensor& n);

}  // namespace torch_npu::ops::special
