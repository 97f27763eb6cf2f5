#include "ops/random_expressions.h"

#include <ATen/ATen.h>
#include <ATen/native/DistributionTemplates.h>

#include <cmath>
#include <limits>

#include "device/generator.h"

namespace torch_npu::ops {
namespace {

// ATen's own entry functions, with a kernel that does nothing: only their checks are left.
template <class RNG>
struct NoKernel {
  template <class... A>
  void operator()(const A&...) const {}
};

// Double where float has too few bits for the result, or for the range of an integer.
at::ScalarType working_type(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kHalf || dtype == at::kBFloat16 ? at::kFloat : at::kDouble;
}

at::Tensor uniform_numbers(const at::Tensor& like, at::ScalarType dtype, const OptionalGenerator& generator) {
  return at::empty(like.sizes(), like.options().dtype(dtype)).uniform_(0, 1, generator);
}

void check_floating(const at::Tensor& t, const char* name) {
  TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(t.scalar_type()), "\"", name, "_npu\" not implemented for '", t.scalar_type(), "'");
}

// A round accepts more than two thirds of the elements, so that none is left after these.
constexpr int kRounds = 64;

// `out` where `done`; elsewhere the first value that a round of `propose` (giving values and whether each is accepted) accepts.
template <class Propose>
at::Tensor by_rejection(at::Tensor out, at::Tensor done, Propose propose) {
  for (int round = 0; round < kRounds && out.numel() != 0 && !done.all().item<bool>(); ++round) {
    const auto [value, accepted] = propose();
    out = at::where(at::logical_and(accepted, at::logical_not(done)), value, out);
    done = at::logical_or(done, accepted);
  }
  return out;
}

// Means below this are served by adding up the probabilities of 0, 1, 2...; above it these probabilities go under, and rejection is fast.
constexpr double kSmallMean = 10;
constexpr int kTerms = 64;  // the chance of a greater number is below what double resolves

}  // namespace

void check_random_range(const at::Tensor& self, int64_t from, optional<int64_t> to) {
  TORCH_CHECK_NOT_IMPLEMENTED(!self.is_complex(), "\"random_kernel_npu\" not implemented for '", self.scalar_type(), "'");
  at::Tensor t = self;
  at::native::templates::random_from_to_impl<NoKernel, NPUGeneratorImpl>(t, from, to, nullopt);
}

void check_uniform(const at::Tensor& self, double from, double to) {
  at::Tensor t = self;
  at::native::templates::uniform_impl_<NoKernel, NPUGeneratorImpl>(t, from, to, nullopt);
}

void check_exponential(const at::Tensor& self, double lambda) {
  TORCH_CHECK(lambda > 0.0, "exponential_ expects lambda > 0.0, but found lambda=", lambda);
  TORCH_CHECK(at::isFloatingType(self.scalar_type()),
              "Exponential distribution is a continuous probability distribution. dtype must be a floating point but you specified ",
              self.scalar_type());
}

void check_cauchy(const at::Tensor& self, double sigma) {
  at::Tensor t = self;
  at::native::templates::cauchy_impl_<NoKernel, NPUGeneratorImpl>(t, 0, sigma, nullopt);
}

void check_log_normal(const at::Tensor& self, double std) {
  TORCH_CHECK(std > 0.0, "log_normal_ expects std > 0.0, but found std=", std);
  check_floating(self, "log_normal");
}

void check_geometric(const at::Tensor& self, double p) {
  TORCH_CHECK(0 < p && p < 1, "geometric_ expects p to be in (0, 1), but got p=", p);
  TORCH_CHECK_NOT_IMPLEMENTED(!self.is_complex() && self.scalar_type() != at::kBool, "\"geometric_npu\" not implemented for '",
                              self.scalar_type(), "'");
}

void check_rrelu(const at::Tensor& self, const at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper) {
  TORCH_CHECK(lower.toDouble() <= upper.toDouble(), "Lower bound should be less than or equal to the upper bound");
  TORCH_CHECK(self.sizes() == noise.sizes(), "noise tensor shape must match self tensor shape. Got self.shape = ", self.sizes(),
              " noise.shape = ", noise.sizes());
  check_floating(self, "rrelu_with_noise_out");
}

void check_randperm(int64_t n, const at::Tensor& out) {
  TORCH_CHECK(n >= 0, "n must be non-negative, got", n);
  TORCH_CHECK_NOT_IMPLEMENTED(!out.is_complex() && out.scalar_type() != at::kBool, "\"randperm\" not implemented for '", out.scalar_type(), "'");
  const auto highest = [](at::ScalarType t) -> int64_t {
    switch (t) {
      case at::kHalf: return int64_t{1} << 11;
      case at::kBFloat16: return int64_t{1} << 8;
      case at::kFloat: return int64_t{1} << 24;
      case at::kDouble: return int64_t{1} << 53;
      default: return std::numeric_limits<int64_t>::max();
    }
  }(out.scalar_type());
  TORCH_CHECK(n <= highest || n == 0, "n cannot be greater than ", highest + 1, " for ", out.scalar_type(), " type.");
  const int64_t largest = out.scalar_type() == at::kByte ? 255 : out.scalar_type() == at::kChar ? 127 : out.scalar_type() == at::kShort ? 32767 : out.scalar_type() == at::kInt ? std::numeric_limits<int32_t>::max() : std::numeric_limits<int64_t>::max();
  TORCH_CHECK(n <= largest, "value cannot be converted to type ", out.scalar_type(), " without overflow");
}

void check_multinomial(const at::Tensor& self, int64_t samples, bool replacement) {
  TORCH_CHECK(self.dim() > 0 && self.dim() <= 2, "prob_dist must be 1 or 2 dim");
  TORCH_CHECK(at::isFloatingType(self.scalar_type()), "multinomial only supports floating-point dtypes for input, got: ", self.scalar_type());
  TORCH_CHECK(samples > 0, "cannot sample n_sample <= 0 samples");
  TORCH_CHECK(replacement || samples <= self.size(-1), "cannot sample n_sample > prob_dist.size(-1) samples without replacement");
  if (self.numel() == 0) return;
  const at::Tensor valid = at::logical_and(at::lt(self.max(), std::numeric_limits<double>::infinity()), at::ge(self.min(), 0));
  TORCH_CHECK(valid.item<bool>(), "probability tensor contains either `inf`, `nan` or element < 0");
  TORCH_CHECK(at::gt(self.sum(-1), 0).all().item<bool>(), "invalid multinomial distribution (sum of probabilities <= 0)");
}

void check_normal_std(const at::Tensor& std) { CHECK_NORMAL_TENSOR_STD(std); }

at::Tensor exponential_numbers(const at::Tensor& like, double lambda, const OptionalGenerator& generator) {
  return uniform_numbers(like, working_type(like.scalar_type()), generator).neg_().log1p_().div_(-lambda);
}

at::Tensor cauchy_numbers(const at::Tensor& like, double median, double sigma, const OptionalGenerator& generator) {
  return uniform_numbers(like, working_type(like.scalar_type()), generator).sub_(0.5).mul_(M_PI).tan_().mul_(sigma).add_(median);
}

at::Tensor geometric_numbers(const at::Tensor& like, double p, const OptionalGenerator& generator) {
  return uniform_numbers(like, working_type(like.scalar_type()), generator).neg_().log1p_().div_(std::log1p(-p)).ceil_().clamp_min_(1);
}

at::Tensor log_normal_numbers(const at::Tensor& like, double mean, double std, const OptionalGenerator& generator) {
  return at::empty(like.sizes(), like.options().dtype(working_type(like.scalar_type()))).normal_(mean, std, generator).exp_();
}

void complex_normal(const at::Tensor& self, double mean, double std, const OptionalGenerator& generator) {
  at::view_as_real(self).normal_(mean, std * M_SQRT1_2, generator);  // each part has half of the variance
}

at::Tensor rrelu_slopes(const at::Tensor& self, double lower, double upper, const OptionalGenerator& generator) {
  const at::Tensor slopes = at::empty(self.sizes(), self.options()).uniform_(lower, upper, generator);
  return at::where(at::le(self, 0), slopes, at::ones_like(slopes));
}

// W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993: algorithm PTRS.
at::Tensor poisson_numbers(const at::Tensor& self, const OptionalGenerator& generator) {
  check_floating(self, "poisson");
  const at::Tensor rate = self.to(at::kDouble);
  TORCH_CHECK(rate.numel() == 0 || at::ge(rate, 0).all().item<bool>(), "invalid Poisson rate, expected rate to be non-negative");
  const at::Tensor small = at::lt(rate, kSmallMean);
  const at::Tensor u = uniform_numbers(rate, at::kDouble, generator);
  at::Tensor probability = rate.neg().exp_(), sum = probability.clone(), count = at::zeros_like(rate);
  for (int k = 1; k <= kTerms; ++k) {
    count.add_(at::ge(u, sum));
    probability = probability.mul(rate).div_(k);
    sum.add_(probability);
  }
  const at::Tensor mean = rate.clamp_min(kSmallMean), log_mean = mean.log();
  const at::Tensor b = mean.sqrt().mul_(2.53).add_(0.931), a = b.mul(0.02483).sub_(0.059);
  const at::Tensor log_inverse_alpha = b.sub(3.4).reciprocal_().mul_(1.1328).add_(1.1239).log_();
  const at::Tensor squeeze = b.sub(2).reciprocal_().mul_(-3.6224).add_(0.9277);
  return by_rejection(at::where(small, count, mean.floor()), small, [&] {
           const at::Tensor centred = uniform_numbers(rate, at::kDouble, generator).sub_(0.5), v = uniform_numbers(rate, at::kDouble, generator);
           const at::Tensor us = centred.abs().neg_().add_(0.5);
           const at::Tensor k = a.mul(2).div_(us).add_(b).mul_(centred).add_(mean).add_(0.43).floor_();
           const at::Tensor inside = at::logical_and(at::ge(us, 0.07), at::le(v, squeeze));
           const at::Tensor hopeless = at::logical_or(at::lt(k, 0), at::logical_and(at::lt(us, 0.013), at::gt(v, us)));
           const at::Tensor safe = k.clamp_min(0);
           const at::Tensor left = v.log().add_(log_inverse_alpha).sub_(a.div(us.square()).add_(b).log_());
           const at::Tensor right = safe.mul(log_mean).sub_(mean).sub_(at::lgamma(safe.add(1)));
           return std::make_pair(k, at::logical_or(inside, at::logical_and(at::le(left, right), at::logical_not(hopeless))));
         })
      .to(self.scalar_type());
}

// W. Hörmann, "The generation of binomial random variates", 1993: algorithm BTRS.
at::Tensor binomial_numbers(const at::Tensor& count, const at::Tensor& prob, const OptionalGenerator& generator) {
  TORCH_CHECK_VALUE(at::isFloatingType(count.scalar_type()), "binomial only supports floating-point dtypes for count, got: ", count.scalar_type());
  TORCH_CHECK_VALUE(at::isFloatingType(prob.scalar_type()), "binomial only supports floating-point dtypes for prob, got: ", prob.scalar_type());
  TORCH_CHECK(count.scalar_type() == prob.scalar_type(), "Found dtype ", prob.scalar_type(), " but expected ", count.scalar_type());
  auto pair = at::broadcast_tensors({count.to(at::kDouble), prob.to(at::kDouble)});
  const at::Tensor n = pair[0], given = pair[1];
  const at::Tensor invalid = at::logical_or(at::isnan(n), at::isnan(given));
  const at::Tensor mirrored = at::gt(given, 0.5);
  const at::Tensor p = at::where(mirrored, at::rsub(given, 1), given).nan_to_num_(0).clamp_min_(0);
  const at::Tensor trials = n.nan_to_num(0).clamp_min_(0), q = at::rsub(p, 1), odds = p.div(q);
  const at::Tensor small = at::lt(trials.mul(p), kSmallMean);
  const at::Tensor u = uniform_numbers(n, at::kDouble, generator);
  at::Tensor probability = q.log().mul_(trials).exp_(), sum = probability.clone(), hits = at::zeros_like(p);
  for (int k = 1; k <= kTerms; ++k) {
    hits.add_(at::ge(u, sum));
    probability = probability.mul(odds).mul_(trials.sub(k - 1).clamp_min_(0)).div_(k);
    sum.add_(probability);
  }
  hits = at::minimum(hits, trials);  // rounding of the sum
  const at::Tensor deviation = trials.mul(p).mul_(q).sqrt_().clamp_min_(1);
  const at::Tensor b = deviation.mul(2.53).add_(1.15), a = b.mul(0.0248).sub_(0.0873).add_(p.mul(0.01));
  const at::Tensor centre = trials.mul(p).add_(0.5), squeeze = b.reciprocal().mul_(-4.2).add_(0.92);
  const at::Tensor alpha = b.reciprocal().mul_(5.1).add_(2.83).mul_(deviation);
  const at::Tensor peak = trials.add(1).mul_(p).floor_(), log_odds = odds.clamp_min(std::numeric_limits<double>::min()).log();
  const at::Tensor at_peak = at::lgamma(peak.add(1)).add_(at::lgamma(trials.sub(peak).add_(1)));
  const at::Tensor drawn = by_rejection(at::where(small, hits, peak), small, [&] {
    const at::Tensor centred = uniform_numbers(n, at::kDouble, generator).sub_(0.5), v = uniform_numbers(n, at::kDouble, generator);
    const at::Tensor us = centred.abs().neg_().add_(0.5);
    const at::Tensor k = a.mul(2).div_(us).add_(b).mul_(centred).add_(centre).floor_();
    const at::Tensor possible = at::logical_and(at::ge(k, 0), at::le(k, trials));
    const at::Tensor inside = at::logical_and(at::ge(us, 0.07), at::le(v, squeeze));
    const at::Tensor safe = at::minimum(k.clamp_min(0), trials);
    const at::Tensor left = v.mul(alpha).div_(a.div(us.square()).add_(b)).log_();
    const at::Tensor right = at_peak.sub(at::lgamma(safe.add(1))).sub_(at::lgamma(trials.sub(safe).add_(1))).add_(safe.sub(peak).mul_(log_odds));
    return std::make_pair(k, at::logical_and(possible, at::logical_or(inside, at::le(left, right))));
  });
  const at::Tensor counted = at::where(mirrored, trials.sub(drawn), drawn);
  return at::where(invalid, at::full({}, std::numeric_limits<double>::quiet_NaN(), n.options()), counted).to(count.scalar_type());
}

namespace {

// G. Marsaglia and W. Tsang, "A simple method for generating gamma variables", 2000. In double, without a lower bound.
at::Tensor gamma_in_double(const at::Tensor& alpha, const OptionalGenerator& generator) {
  const at::Tensor shape = alpha.to(at::kDouble), below_one = at::lt(shape, 1);
  const at::Tensor boost = uniform_numbers(shape, at::kDouble, generator).neg_().add_(1).pow_(shape.reciprocal());
  const at::Tensor d = at::where(below_one, shape.add(1), shape).sub_(1.0 / 3), c = d.mul(9).rsqrt_();
  const at::Tensor drawn = by_rejection(at::zeros_like(d), at::logical_not(at::gt(d, 0)), [&] {
    const at::Tensor x = at::empty(d.sizes(), d.options()).normal_(0, 1, generator);
    const at::Tensor u = uniform_numbers(d, at::kDouble, generator).neg_().add_(1);
    const at::Tensor v = x.mul(c).add_(1).pow_(3), positive = at::gt(v, 0);
    const at::Tensor bound = x.square().mul_(0.5).add_(d.mul(v.neg().add_(1).add_(at::where(positive, v, at::ones_like(v)).log_())));
    return std::make_pair(d.mul(v), at::logical_and(positive, at::lt(u.log_(), bound)));
  });
  return at::where(below_one, drawn.mul(boost), drawn);
}

double least_positive(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble: return std::numeric_limits<double>::min();
    case at::kHalf: return std::ldexp(1.0, -14);
    default: return std::numeric_limits<float>::min();
  }
}

}  // namespace

at::Tensor gamma_numbers(const at::Tensor& alpha, const OptionalGenerator& generator) {
  check_floating(alpha, "gamma");
  return gamma_in_double(alpha, generator).clamp_min_(least_positive(alpha.scalar_type())).to(alpha.scalar_type());
}

at::Tensor dirichlet_numbers(const at::Tensor& alpha, const OptionalGenerator& generator) {
  check_floating(alpha, "dirichlet");
  const at::Tensor gamma = gamma_in_double(alpha, generator).clamp_min_(std::numeric_limits<double>::min());
  const double least = least_positive(alpha.scalar_type()), below_one = 1 - (alpha.scalar_type() == at::kDouble ? 1.1e-16 : 6e-8);
  return gamma.div(gamma.sum(-1, true)).clamp_min_(least).clamp_max_(below_one).to(alpha.scalar_type());
}

}  // namespace torch_npu::ops
