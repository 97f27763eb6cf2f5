// One optimizer step over lists of parameters, and loss scaling. Rows of optimizer.yaml call these.
#pragma once

#include <ATen/core/Tensor.h>

#include "compat/compat.h"


namespace torch_npu::ops {

using OptionalTensor = optional<at::Tensor>;

struct AdamLists {
  at::TensorList params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps;
};
struct AdamSettings {
  double lr, beta1, beta2, weight_decay, eps;
  bool amsgrad, maximize;
  bool decoupled;  // AdamW: decay apart from the gradient
};
void fused_adam(const AdamLists& lists, const AdamSettings& settings, const OptionalTensor& grad_scale, const OptionalTensor& found_inf);

struct SgdSettings {
  double weight_decay, momentum, lr, dampening;
  bool nesterov, maximize, is_first_step;
};
void fused_sgd(at::TensorList params, at::TensorList grads, at::TensorList momentum_buffers, const SgdSettings& settings,
               const OptionalTensor& grad_scale, const OptionalTensor& found_inf);

struct AdagradSettings {
  double lr, lr_decay, weight_decay, eps;
  bool maximize;
};
void fused_adagrad(at::TensorList params, at::TensorList grads, at::TensorList state_sums, at::TensorList state_steps,
                   const AdagradSettings& settings, const OptionalTensor& grad_scale, const OptionalTensor& found_inf);

void unscale_and_check(at::TensorList grads, const at::Tensor& found_inf, const at::Tensor& inv_scale);

}  // namespace torch_npu::ops
