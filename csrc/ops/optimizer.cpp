// Optimizer steps. Hand-written: CANN's functions serve one parameter or some of the settings; the rest is made of list operators.
#include "ops/optimizer.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_clone.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_maximum.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_pow.h>
#include <ATen/ops/_foreach_reciprocal.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/foreach.h"

namespace torch_npu::ops {
namespace {

using launch::Launch;
using Tensors = std::vector<at::Tensor>;

// With found_inf = 1 a step changes nothing. Deciding that on the host would wait for the device: the lists are put back there.
class Undo {
 public:
  explicit Undo(const OptionalTensor& found_inf) {
    if (found_inf.has_value() && found_inf->defined()) found_ = found_inf->reshape({}).ne(0);
  }
  void keep(at::TensorList list) {
    if (!found_.defined() || list.empty()) return;
    const Tensors copies = at::_foreach_clone(list);
    for (size_t i = 0; i < list.size(); ++i) kept_.emplace_back(list[i], copies[i]);
  }
  void finish() const {
    for (const auto& [list, copy] : kept_) list.copy_(at::where(found_, copy, list));
  }

 private:
  at::Tensor found_;
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

bool present(const OptionalTensor& t) { return t.has_value() && t->defined(); }

bool same_documented_dtype(std::initializer_list<at::TensorList> lists, const launch::AclnnFunction& f) {
  const at::ScalarType dtype = (*lists.begin())[0].scalar_type();
  if (!launch::dtype_documented(f, 0, dtype) || !launch::found(f)) return false;
  for (const at::TensorList list : lists) {
    for (const at::Tensor& t : list) {
      if (t.scalar_type() != dtype || !is_npu(t)) return false;
    }
  }
  return true;
}

// Gradients as the step uses them: unscaled (also in place, as ATen does), with the sign of the direction.
Tensors directed(at::TensorList grads, const OptionalTensor& grad_scale, bool maximize) {
  if (present(grad_scale)) at::_foreach_div_(grads, grad_scale->reshape({}));
  return maximize ? at::_foreach_neg(grads) : grads.vec();
}

}  // namespace

void fused_adam(const AdamLists& lists, const AdamSettings& s, const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
  const auto& [params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps] = lists;
  if (params.empty()) return;
  const DeviceScope scope(params);
  if (s.decoupled && !present(grad_scale) && !present(found_inf) &&
      same_documented_dtype({params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs}, aclnn::aclnnApplyAdamWV2)) {
    // CANN counts the steps before this one.
    const Tensors steps = at::_foreach_add(state_steps, -1);
    for (size_t i = 0; i < params.size(); ++i) {
      const at::Tensor step = steps[i].to(params[i].device());
      Launch l(aclnn::aclnnApplyAdamWV2, "aten::_fused_adamw_");
      l.tensor(params[i]), l.tensor(exp_avgs[i]), l.tensor(exp_avg_sqs[i]);
      l.tensor(s.amsgrad ? max_exp_avg_sqs[i] : at::Tensor());
      l.tensor(grads[i]), l.tensor(step);
      l.real(s.lr), l.real(s.beta1), l.real(s.beta2), l.real(s.weight_decay), l.real(s.eps);
      l.boolean(s.amsgrad), l.boolean(s.maximize);
      l.submit();
    }
    return;
  }

  Undo undo(found_inf);
  for (const at::TensorList list : {params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs}) undo.keep(list);
  Tensors g = directed(grads, grad_scale, s.maximize);
  if (s.weight_decay != 0) {
    if (s.decoupled) at::_foreach_mul_(params, 1 - s.lr * s.weight_decay);
    else g = at::_foreach_add(g, params, s.weight_decay);
  }
  at::_foreach_lerp_(exp_avgs, g, 1 - s.beta1);
  at::_foreach_mul_(exp_avg_sqs, s.beta2);
  at::_foreach_addcmul_(exp_avg_sqs, g, g, 1 - s.beta2);
  if (s.amsgrad) at::_foreach_maximum_(max_exp_avg_sqs, exp_avg_sqs);

  // One number per parameter, kept on the device: -(1 - beta1^t) / lr and sqrt(1 - beta2^t).
  Tensors scale = at::_foreach_pow(s.beta1, state_steps);
  at::_foreach_add_(scale, -1);
  at::_foreach_div_(scale, s.lr);
  Tensors root = at::_foreach_pow(s.beta2, state_steps);
  at::_foreach_neg_(root);
  at::_foreach_add_(root, 1);
  at::_foreach_sqrt_(root);

  Tensors denominator = at::_foreach_sqrt(s.amsgrad ? max_exp_avg_sqs : exp_avg_sqs);
  at::_foreach_div_(denominator, root);
  at::_foreach_add_(denominator, s.eps);
  at::_foreach_mul_(denominator, scale);
  at::_foreach_addcdiv_(params, exp_avgs, denominator);
  undo.finish();
}

void fused_sgd(at::TensorList params, at::TensorList grads, at::TensorList momentum_buffers, const SgdSettings& s,
               const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
  if (params.empty()) return;
  const DeviceScope scope(params);
  if (!present(found_inf) && same_documented_dtype({params, grads, momentum_buffers}, aclnn::aclnnFusedSgd)) {
    for (ForeachPart part(params.size(), 3); part.more(); part.next()) {
      Launch l(aclnn::aclnnFusedSgd, "aten::_fused_sgd_");
      l.tensors(part(params)), l.tensors(part(grads));
      l.tensors(momentum_buffers.empty() ? momentum_buffers : part(momentum_buffers));
      l.tensor(grad_scale);
      l.real(s.weight_decay), l.real(s.momentum), l.real(s.lr), l.real(s.dampening);
      l.boolean(s.nesterov), l.boolean(s.maximize), l.boolean(s.is_first_step);
      l.submit();
    }
    return;
  }

  Undo undo(found_inf);
  undo.keep(params), undo.keep(momentum_buffers);
  Tensors g = directed(grads, grad_scale, s.maximize);
  if (s.weight_decay != 0) g = at::_foreach_add(g, params, s.weight_decay);
  if (s.momentum != 0) {
    if (s.is_first_step) {
      at::_foreach_copy_(momentum_buffers, g);
    } else {
      at::_foreach_mul_(momentum_buffers, s.momentum);
      at::_foreach_add_(momentum_buffers, g, 1 - s.dampening);
    }
    g = s.nesterov ? at::_foreach_add(g, momentum_buffers, s.momentum) : momentum_buffers.vec();
  }
  at::_foreach_add_(params, g, -s.lr);
  undo.finish();
}

void fused_adagrad(at::TensorList params, at::TensorList grads, at::TensorList state_sums, at::TensorList state_steps,
                   const AdagradSettings& s, const OptionalTensor& grad_scale, const OptionalTensor& found_inf) {
  if (params.empty()) return;
  const DeviceScope scope(params);
  Undo undo(found_inf);
  undo.keep(params), undo.keep(state_sums);
  Tensors g = directed(grads, grad_scale, s.maximize);
  if (s.weight_decay != 0) g = at::_foreach_add(g, params, s.weight_decay);
  at::_foreach_addcmul_(state_sums, g, g);
  // -(1 + (t - 1) * lr_decay) / lr per parameter, on the device
  Tensors scale = at::_foreach_add(state_steps, -1);
  at::_foreach_mul_(scale, -s.lr_decay / s.lr);
  at::_foreach_add_(scale, -1 / s.lr);
  Tensors denominator = at::_foreach_sqrt(state_sums);
  at::_foreach_add_(denominator, s.eps);
  at::_foreach_mul_(denominator, scale);
  at::_foreach_addcdiv_(params, g, denominator);
  undo.finish();
}

void unscale_and_check(at::TensorList grads, const at::Tensor& found_inf, const at::Tensor& inv_scale) {
  if (grads.empty()) return;
  TORCH_CHECK(inv_scale.numel() == 1, "inv_scale must be a 1-element tensor.");
  TORCH_CHECK(found_inf.numel() == 1, "found_inf must be a 1-element tensor.");
  TORCH_CHECK(inv_scale.scalar_type() == at::kFloat, "inv_scale must be a float tensor.");
  TORCH_CHECK(found_inf.scalar_type() == at::kFloat, "found_inf must be a float tensor.");
  const DeviceScope scope(grads, found_inf, inv_scale);
  const auto& f = aclnn::aclnnForeachNonFiniteCheckAndUnscale;
  // One call per run of equal dtypes.
  for (size_t start = 0; start < grads.size();) {
    const at::ScalarType dtype = grads[start].scalar_type();
    size_t end = start;
    while (end < grads.size() && grads[end].scalar_type() == dtype) ++end;
    const at::TensorList run = grads.slice(start, end - start);
    start = end;
    if (!launch::dtype_documented(f, 0, dtype)) {
      for (const at::Tensor& t : run) {
        found_inf.copy_(at::maximum(found_inf, at::isfinite(t).all().logical_not().to(at::kFloat).expand_as(found_inf)));
        t.mul_(inv_scale.to(t.scalar_type()));
      }
      continue;
    }
    for (ForeachPart part(run.size(), 1); part.more(); part.next()) {
      Launch l(f, "aten::_amp_foreach_non_finite_check_and_unscale_");
      l.tensors(part(run)), l.tensor(found_inf), l.tensor(inv_scale);
      l.submit();
    }
  }
}

}  // namespace torch_npu::ops
