// torch.ops.npu.npu_geglu and npu_swiglu: one half of a tensor, times the activated other half. Hand-written: torch has no such operators, so their
// schemas, meta functions and derivatives are here too, and kernels for the CPU: programs call them for whatever device a model is on, once this
// package is there. torch_npu/operators.py documents them.
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/nn_expressions.h"
#include "ops/own_operator.h"

namespace torch_npu::ops {
namespace {

using launch::Launch;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// The sizes of half of `input` along `dim`, which is made positive.
c10::DimVector half_sizes(const char* op, const at::Tensor& input, int64_t& dim) {
  const at::ScalarType dtype = input.scalar_type();
  TORCH_CHECK_TYPE(dtype == at::kFloat || dtype == at::kHalf || dtype == at::kBFloat16, op,
                   ": the data type has to be float32, float16 or bfloat16, not ", launch::dtype_name(dtype));
  TORCH_CHECK_VALUE(input.dim() > 0, op, ": the input has no dimension to split");
  dim = at::maybe_wrap_dim(dim, input.dim());
  TORCH_CHECK_VALUE(input.size(dim) % 2 == 0, op, ": dimension ", dim, " of shape ", input.sizes(), " cannot be halved");
  c10::DimVector sizes(input.sizes());
  sizes[dim] /= 2;
  return sizes;
}

void check_gradient(const char* op, const at::Tensor& grad, const at::Tensor& input, int64_t& dim) {
  const c10::DimVector expected = half_sizes(op, input, dim);
  TORCH_CHECK_VALUE(grad.sizes() == at::IntArrayRef(expected), op, ": the gradient has shape ", grad.sizes(), ", the output has ",
                    at::IntArrayRef(expected));
}

// On the CPU: the half that is activated and the other one, and their gradients in the order of the input.
struct Halves {
  at::Tensor activated, other;
  bool activated_first;

  Halves(const at::Tensor& input, int64_t dim, bool activated_first) : activated_first(activated_first) {
    const int64_t size = input.size(dim) / 2;
    activated = input.narrow(dim, activated_first ? 0 : size, size), other = input.narrow(dim, activated_first ? size : 0, size);
  }
  at::Tensor joined(const at::Tensor& to_activated, const at::Tensor& to_other, int64_t dim) const {
    return activated_first ? at::cat({to_activated, to_other}, dim) : at::cat({to_other, to_activated}, dim);
  }
};

string_view gelu_formula(int64_t approximate) { return approximate == 1 ? "tanh" : "none"; }

TwoTensors geglu(const at::Tensor& input, int64_t dim, int64_t approximate, bool activate_left) {
  const DeviceScope scope(input);
  TORCH_CHECK_VALUE(approximate == 0 || approximate == 1, "npu_geglu: approximate is ", approximate, "; 0 (none) and 1 (tanh) exist");
  at::Tensor out = at::empty(half_sizes("npu_geglu", input, dim), input.options()), gelu = at::empty(out.sizes(), out.options());
  if (input.is_cpu()) {
    const Halves halves(input, dim, activate_left);
    at::gelu_out(gelu, halves.activated, gelu_formula(approximate));
    at::mul_out(out, gelu, halves.other);
    return {out, gelu};
  }
  if (input.is_meta()) return {out, gelu};
  Launch l(aclnn::aclnnGeGluV3, "npu::npu_geglu");
  l.tensor(input), l.integer(dim), l.integer(approximate), l.boolean(activate_left), l.tensor(out), l.tensor(gelu);
  l.submit();
  return {out, gelu};
}

at::Tensor geglu_grad(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& gelu, int64_t dim, int64_t approximate, bool activate_left) {
  const DeviceScope scope(grad, input, gelu);
  check_gradient("npu_geglu_grad", grad, input, dim);
  if (input.is_cpu()) {
    const Halves halves(input, dim, activate_left);
    return halves.joined(at::gelu_backward(grad.mul(halves.other), halves.activated, gelu_formula(approximate)), grad.mul(gelu), dim);
  }
  at::Tensor out = at::empty(input.sizes(), input.options());
  if (input.is_meta()) return out;
  Launch l(aclnn::aclnnGeGluV3Backward, "npu::npu_geglu_grad");
  l.tensor(grad), l.tensor(input), l.tensor(gelu), l.integer(dim), l.integer(approximate), l.boolean(activate_left), l.tensor(out);
  l.submit();
  return out;
}

at::Tensor swiglu(const at::Tensor& input, int64_t dim) {
  const DeviceScope scope(input);
  at::Tensor out = at::empty(half_sizes("npu_swiglu", input, dim), input.options());
  if (input.is_cpu()) {
    const Halves halves(input, dim, true);
    return at::mul_out(out, at::silu(halves.activated), halves.other);
  }
  if (input.is_meta()) return out;
  Launch l(aclnn::aclnnSwiGlu, "npu::npu_swiglu");
  l.tensor(input), l.integer(dim), l.tensor(out);
  l.submit();
  return out;
}

at::Tensor swiglu_backward(const at::Tensor& grad, const at::Tensor& input, int64_t dim) {
  const DeviceScope scope(grad, input);
  check_gradient("npu_swiglu_backward", grad, input, dim);
  if (input.is_cpu()) {
    const Halves halves(input, dim, true);
    return halves.joined(at::silu_backward(grad.mul(halves.other), halves.activated), grad.mul(at::silu(halves.activated)), dim);
  }
  at::Tensor out = at::empty(input.sizes(), input.options());
  if (input.is_meta()) return out;
  Launch l(aclnn::aclnnSwiGluGrad, "npu::npu_swiglu_backward");
  l.tensor(grad), l.tensor(input), l.integer(dim), l.tensor(out);
  l.submit();
  return out;
}

struct Geglu : Function<Geglu> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& input, int64_t dim, int64_t approximate, bool activate_left) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = operator_named<decltype(geglu)>("npu::npu_geglu");
    const auto [out, gelu] = op.call(input, dim, approximate, activate_left);
    ctx->save_for_backward({input, gelu});
    ctx->mark_non_differentiable({gelu});
    ctx->saved_data["dim"] = dim, ctx->saved_data["approximate"] = approximate, ctx->saved_data["left"] = activate_left;
    return {out, gelu};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto op = operator_named<decltype(geglu_grad)>("npu::npu_geglu_grad");
    const variable_list t = ctx->get_saved_variables();
    return {op.call(grads[0], t[0], t[1], ctx->saved_data["dim"].toInt(), ctx->saved_data["approximate"].toInt(), ctx->saved_data["left"].toBool()),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct Swiglu : Function<Swiglu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, int64_t dim) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = operator_named<decltype(swiglu)>("npu::npu_swiglu");
    ctx->save_for_backward({input});
    ctx->saved_data["dim"] = dim;
    return op.call(input, dim);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto op = operator_named<decltype(swiglu_backward)>("npu::npu_swiglu_backward");
    return {op.call(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["dim"].toInt()), at::Tensor()};
  }
};

TwoTensors geglu_autograd(const at::Tensor& input, int64_t dim, int64_t approximate, bool activate_left) {
  const variable_list out = Geglu::apply(input, dim, approximate, activate_left);
  return {out[0], out[1]};
}

at::Tensor swiglu_autograd(const at::Tensor& input, int64_t dim) { return Swiglu::apply(input, dim); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(npu, m) {
  m.def("npu_geglu(Tensor input, int dim=-1, int approximate=1, bool activate_left=False) -> (Tensor, Tensor)");
  m.def("npu_geglu_grad(Tensor grad_output, Tensor input, Tensor gelu, int dim=-1, int approximate=1, bool activate_left=False) -> Tensor");
  m.def("npu_swiglu(Tensor input, int dim=-1) -> Tensor");
  m.def("npu_swiglu_backward(Tensor grad_output, Tensor input, int dim=-1) -> Tensor");
}

namespace {

void register_kernels(torch::Library& m) {
  m.impl("npu_geglu", TORCH_FN(geglu));
  m.impl("npu_geglu_grad", TORCH_FN(geglu_grad));
  m.impl("npu_swiglu", TORCH_FN(swiglu));
  m.impl("npu_swiglu_backward", TORCH_FN(swiglu_backward));
}

}  // namespace

TORCH_LIBRARY_IMPL(npu, PrivateUse1, m) { register_kernels(m); }
TORCH_LIBRARY_IMPL(npu, Meta, m) { register_kernels(m); }
TORCH_LIBRARY_IMPL(npu, CPU, m) { register_kernels(m); }

TORCH_LIBRARY_IMPL(npu, Autograd, m) {
  m.impl("npu_geglu", TORCH_FN(geglu_autograd));
  m.impl("npu_swiglu", TORCH_FN(swiglu_autograd));
}

}  // namespace torch_npu::ops
