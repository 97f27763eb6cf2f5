// Fourier transforms. Hand-written: sizes with factors are split, which takes loops over dimensions and factors.
#include "ops/fft.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numbers>

#include "ops/common.h"

namespace torch_npu::ops {
namespace {

using at::Tensor;

constexpr int64_t kDirect = 256;       // up to this size one product is cheaper than splitting
constexpr int64_t kLargestPrime = 4096;

struct Parts {
  Tensor re, im;
};

// The largest divisor of n that is not above its root; 1 for primes.
int64_t divisor(int64_t n) {
  for (int64_t d = static_cast<int64_t>(std::sqrt(static_cast<double>(n))) + 1; d > 1; --d) {
    if (d < n && n % d == 0) return d;
  }
  return 1;
}

bool small_factors(int64_t n) {
  for (int64_t d = 2; d * d <= n; ++d) {
    while (n % d == 0) n /= d;
  }
  return n <= kLargestPrime;
}

// exp(-2 pi i k / n) for k in [0, n): exact to single precision, from the host.
Parts roots(int64_t n, const at::TensorOptions& options) {
  const Tensor host = at::empty({2, n}, at::kFloat);
  float* values = host.data_ptr<float>();
  for (int64_t k = 0; k < n; ++k) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
    values[k] = static_cast<float>(std::cos(angle));
    values[n + k] = static_cast<float>(std::sin(angle));
  }
  const Tensor device = host.to(options.device());
  return {device.select(0, 0), device.select(0, 1)};
}

// The roots to the powers a * b for a < rows, b < columns.
Parts powers(int64_t n, int64_t rows, int64_t columns, const at::TensorOptions& options) {
  const at::TensorOptions index = options.dtype(at::kLong);
  const Tensor exponent = at::arange(rows, index).unsqueeze(1).mul(at::arange(columns, index)).remainder(n).flatten();
  const Parts r = roots(n, options);
  return {r.re.index_select(0, exponent).view({rows, columns}), r.im.index_select(0, exponent).view({rows, columns})};
}

// Transform of the last dimension, [batch, n] -> [batch, count] (the first `count` frequencies).
Parts transform(const Parts& x, int64_t count, bool forward) {
  const int64_t n = x.re.size(1), batch = x.re.size(0);
  const int64_t d = n > kDirect ? divisor(n) : 1;
  if (d == 1) {
    const Parts w = powers(n, n, count, x.re.options());
    const Tensor matrix = at::cat({w.re, forward ? w.im : w.im.neg()}, 1);
    if (!x.im.defined()) {
      const Tensor p = at::mm(x.re, matrix);
      return {p.narrow(1, 0, count), p.narrow(1, count, count)};
    }
    const Tensor p = at::mm(at::cat({x.re, x.im}), matrix);
    const auto part = [&](int64_t row, int64_t column) { return p.narrow(0, row * batch, batch).narrow(1, column * count, count); };
    return {part(0, 0).sub(part(1, 1)), part(0, 1).add(part(1, 0))};
  }
  // n = d * e: transforms of size d over the slow index, a turn of each element, transforms of size e over the fast one.
  const int64_t e = n / d;
  const auto slow = [&](const Tensor& t) { return t.defined() ? t.reshape({batch, d, e}).transpose(1, 2).reshape({batch * e, d}) : t; };
  Parts y = transform({slow(x.re), slow(x.im)}, d, forward);
  const Parts turn = powers(n, e, d, x.re.options());
  const Tensor turn_im = forward ? turn.im : turn.im.neg();
  const Tensor re = y.re.reshape({batch, e, d}), im = y.im.reshape({batch, e, d});
  const auto fast = [&](const Tensor& t) { return t.transpose(1, 2).reshape({batch * d, e}); };
  const Tensor turned_re = re.mul(turn.re).sub(im.mul(turn_im)), turned_im = re.mul(turn_im).add(im.mul(turn.re));
  const Parts z = transform({fast(turned_re), fast(turned_im)}, e, forward);
  const auto ordered = [&](const Tensor& t) { return t.reshape({batch, d, e}).transpose(1, 2).reshape({batch, n}).narrow(1, 0, count); };
  return {ordered(z.re), ordered(z.im)};
}

// Applies the transform along `dim` of tensors of any shape.
Parts along(const Parts& x, int64_t dim, int64_t count, bool forward) {
  const Tensor moved = x.re.movedim(dim, -1);
  std::vector<int64_t> sizes = moved.sizes().vec();
  const int64_t n = sizes.back();
  const auto flat = [&](const Tensor& t) { return t.defined() ? t.movedim(dim, -1).reshape({-1, n}) : t; };
  const Parts y = transform({flat(x.re), flat(x.im)}, count, forward);
  sizes.back() = count;
  const auto back = [&](const Tensor& t) { return t.reshape(sizes).movedim(-1, dim); };
  return {back(y.re), back(y.im)};
}

Parts split(const Tensor& x) {
  const Tensor real = at::view_as_real(x);
  return {real.select(-1, 0), real.select(-1, 1)};
}

Tensor join(const Parts& x, double scale) {
  const Tensor both = at::stack({x.re, x.im}, -1);
  return at::view_as_complex(scale == 1 ? both : both.mul(scale));
}

// normalization: 0 none, 1 by the root of the signal's size, 2 by its size
double factor(int64_t normalization, double size) { return normalization == 0 ? 1 : normalization == 1 ? 1 / std::sqrt(size) : 1 / size; }

double signal_size(const Tensor& self, at::IntArrayRef dim) {
  double size = 1;
  for (int64_t d : dim) size *= static_cast<double>(self.size(d));
  return size;
}

}  // namespace

bool fft_is_native(const Tensor& self, at::IntArrayRef dim, int64_t last_dim_size) {
  if (at::toRealValueType(self.scalar_type()) != at::kFloat || self.numel() == 0) return false;
  for (int64_t d : dim) {
    if (!small_factors(self.size(d))) return false;
  }
  return small_factors(last_dim_size);
}

Tensor fft_c2c(const Tensor& self, at::IntArrayRef dim, int64_t normalization, bool forward) {
  if (dim.empty()) return self.clone();
  const DeviceScope scope(self);
  Parts x = split(self);
  for (int64_t d : dim) {
    const int64_t wrapped = at::maybe_wrap_dim(d, self.dim());
    x = along(x, wrapped, self.size(wrapped), forward);
  }
  return join(x, factor(normalization, signal_size(self, dim)));
}

Tensor fft_r2c(const Tensor& self, at::IntArrayRef dim, int64_t normalization, bool onesided) {
  const DeviceScope scope(self);
  const int64_t last = at::maybe_wrap_dim(dim.back(), self.dim());
  const int64_t n = self.size(last);
  Parts x = along({self, {}}, last, onesided ? n / 2 + 1 : n, true);
  for (int64_t d : dim.slice(0, dim.size() - 1)) {
    const int64_t wrapped = at::maybe_wrap_dim(d, self.dim());
    x = along(x, wrapped, self.size(wrapped), true);
  }
  return join(x, factor(normalization, signal_size(self, dim)));
}

Tensor fft_c2r(const Tensor& self, at::IntArrayRef dim, int64_t normalization, int64_t n) {
  const DeviceScope scope(self);
  const int64_t last = at::maybe_wrap_dim(dim.back(), self.dim());
  Parts x = split(self);
  const at::IntArrayRef others = dim.slice(0, dim.size() - 1);
  for (int64_t d : others) {
    const int64_t wrapped = at::maybe_wrap_dim(d, self.dim());
    x = along(x, wrapped, self.size(wrapped), false);
  }
  // The frequencies above the half are the conjugates of those below; of the ends only the real part counts.
  const int64_t half = n / 2 + 1, above = n - half;
  x = {x.re.narrow(last, 0, half), x.im.narrow(last, 0, half).clone()};
  x.im.narrow(last, 0, 1).zero_();
  if (n % 2 == 0) x.im.narrow(last, half - 1, 1).zero_();
  if (above > 0) {
    x = {at::cat({x.re, x.re.narrow(last, 1, above).flip({last})}, last),
         at::cat({x.im, x.im.narrow(last, 1, above).flip({last}).neg()}, last)};
  }
  const Tensor re = along(x, last, n, false).re;
  const double scale = factor(normalization, signal_size(self, others) * static_cast<double>(n));
  return (scale == 1 ? re : re.mul(scale)).contiguous();
}

}  // namespace torch_npu::ops
