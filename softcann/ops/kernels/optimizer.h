// What the rows of optimizer.yaml use: loss scaling, which ATen had no CPU kernels for before 2.3.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace softcann::ops {

// Gradients times the inverse of the scale; found_inf becomes 1 if one of them is not finite.
void unscale(at::TensorList grads, const at::Tensor& found_inf, const at::Tensor& inv_scale);
// The scale after a step: less of it if the step found infinities, more after `interval` steps without.
void update_scale(const at::Tensor& scale, const at::Tensor& tracker, const at::Tensor& found_inf, double growth, double backoff,
                  int64_t interval);

}  // namespace softcann::ops
