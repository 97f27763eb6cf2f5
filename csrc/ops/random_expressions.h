// Distributions that CANN has no function for, made of its uniform and normal numbers; checks of the others.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "compat/compat.h"


namespace torch_npu::ops {

using OptionalGenerator = optional<at::Generator>;

// ---- checks with PyTorch's texts --------------------------------------------------------------------------------------
void check_random_range(const at::Tensor& self, int64_t from, optional<int64_t> to);
void check_uniform(const at::Tensor& self, double from, double to);
void check_exponential(const at::Tensor& self, double lambda);
void check_cauchy(const at::Tensor& self, double sigma);
void check_log_normal(const at::Tensor& self, double std);
void check_geometric(const at::Tensor& self, double p);
void check_rrelu(const at::Tensor& self, const at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper);
void check_randperm(int64_t n, const at::Tensor& out);
void check_multinomial(const at::Tensor& self, int64_t samples, bool replacement);
void check_normal_std(const at::Tensor& std);

// ---- from one uniform number by the inverse of the distribution function ---------------------------------------------------
at::Tensor exponential_numbers(const at::Tensor& like, double lambda, const OptionalGenerator& generator);
at::Tensor cauchy_numbers(const at::Tensor& like, double median, double sigma, const OptionalGenerator& generator);
at::Tensor geometric_numbers(const at::Tensor& like, double p, const OptionalGenerator& generator);
at::Tensor log_normal_numbers(const at::Tensor& like, double mean, double std, const OptionalGenerator& generator);
void complex_normal(const at::Tensor& self, double mean, double std, const OptionalGenerator& generator);
// The slopes of rrelu in training: random where self is not positive, 1 elsewhere.
at::Tensor rrelu_slopes(const at::Tensor& self, double lower, double upper, const OptionalGenerator& generator);

// ---- by rejection: a bounded number of rounds over all elements, ended when every element has been accepted -------------
at::Tensor poisson_numbers(const at::Tensor& rate, const OptionalGenerator& generator);
at::Tensor binomial_numbers(const at::Tensor& count, const at::Tensor& prob, const OptionalGenerator& generator);
at::Tensor gamma_numbers(const at::Tensor& alpha, const OptionalGenerator& generator);
at::Tensor dirichlet_numbers(const at::Tensor& alpha, const OptionalGenerator& generator);

}  // namespace torch_npu::ops
