// The cells that nn.LSTM and nn.GRU use on accelerators, composed of native operators: the GRU's, and the LSTM's where CANN's own
// (recurrent.yaml) does not take the dtype. Hand-written: PyTorch has no CPU kernels for them, and the workspaces are this
// backend's own. Formulas: documentation of nn.LSTMCell and nn.GRUCell.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include "ops/common.h"
#include "ops/nn_expressions.h"

namespace torch_npu::ops {
namespace {

at::Tensor plus(const at::Tensor& gates, const OptionalTensor& bias) { return given(bias) ? gates.add(*bias) : gates; }

std::vector<at::Tensor> side_by_side(const at::Tensor& t, int64_t n) {
  TORCH_CHECK(t.dim() == 2 && t.size(1) % n == 0, "expected a matrix of ", n, " parts side by side, but got sizes ", t.sizes());
  return t.reshape({t.size(0), n, t.size(1) / n}).unbind(1);
}

at::Tensor sigmoid_slope(const at::Tensor& y) { return y.mul(at::rsub(y, 1)); }
at::Tensor tanh_slope(const at::Tensor& y) { return at::rsub(y.mul(y), 1); }

}  // namespace

// Workspace: the activated gates (input, forget, cell, output), side by side.
ThreeTensors lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cx, const OptionalTensor& input_bias,
                       const OptionalTensor& hidden_bias) {
  const DeviceScope scope(input_gates);
  const auto gates = side_by_side(plus(input_gates, input_bias).add(plus(hidden_gates, hidden_bias)), 4);
  const at::Tensor in = gates[0].sigmoid(), forget = gates[1].sigmoid(), cell = gates[2].tanh(), out = gates[3].sigmoid();
  const at::Tensor cy = forget.mul(cx).add(in.mul(cell));
  return {out.mul(cy.tanh()), cy, at::cat({in, forget, cell, out}, 1)};
}

ThreeTensors lstm_cell_backward(const OptionalTensor& grad_hy, const OptionalTensor& grad_cy, const at::Tensor& cx, const at::Tensor& cy,
                                const at::Tensor& workspace, bool has_bias) {
  const bool has_hy = given(grad_hy), has_cy = given(grad_cy);
  if (!has_hy && !has_cy) return {};
  const DeviceScope scope(workspace);
  const auto gates = side_by_side(workspace, 4);
  const at::Tensor &in = gates[0], &forget = gates[1], &cell = gates[2], &out = gates[3];
  const at::Tensor tanh_cy = cy.tanh();
  at::Tensor grad_c = has_cy ? *grad_cy : at::zeros_like(cy);
  if (has_hy) grad_c = grad_c.add(grad_hy->mul(out).mul(tanh_slope(tanh_cy)));
  const at::Tensor grad_out = has_hy ? grad_hy->mul(tanh_cy).mul(sigmoid_slope(out)) : at::zeros_like(out);
  const at::Tensor grad_gates = at::cat({grad_c.mul(cell).mul(sigmoid_slope(in)), grad_c.mul(cx).mul(sigmoid_slope(forget)),
                                         grad_c.mul(in).mul(tanh_slope(cell)), grad_out}, 1);
  return {grad_gates, grad_c.mul(forget), has_bias ? grad_gates.sum(0) : at::Tensor()};
}

namespace {

// Workspace: reset, update and new gate, hx, and the hidden part of the new gate, side by side.
std::tuple<at::Tensor, at::Tensor> gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& hx,
                                            const OptionalTensor& input_bias, const OptionalTensor& hidden_bias) {
  const DeviceScope scope(input_gates);
  const auto in = side_by_side(plus(input_gates, input_bias), 3);
  const auto hidden = side_by_side(plus(hidden_gates, hidden_bias), 3);
  const at::Tensor reset = in[0].add(hidden[0]).sigmoid(), update = in[1].add(hidden[1]).sigmoid();
  const at::Tensor fresh = in[2].add(reset.mul(hidden[2])).tanh();
  return {fresh.add(update.mul(hx.sub(fresh))), at::cat({reset, update, fresh, hx, hidden[2]}, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> gru_cell_backward(const at::Tensor& grad_hy, const at::Tensor& workspace,
                                                                                         bool has_bias) {
  const DeviceScope scope(workspace);
  const auto parts = side_by_side(workspace, 5);
  const at::Tensor &reset = parts[0], &update = parts[1], &fresh = parts[2], &hx = parts[3], &hidden = parts[4];
  const at::Tensor grad_update = grad_hy.mul(hx.sub(fresh)).mul(sigmoid_slope(update));
  const at::Tensor grad_fresh = grad_hy.mul(at::rsub(update, 1)).mul(tanh_slope(fresh));
  const at::Tensor grad_reset = grad_fresh.mul(hidden).mul(sigmoid_slope(reset));
  const at::Tensor grad_in = at::cat({grad_reset, grad_update, grad_fresh}, 1);
  const at::Tensor grad_hidden = at::cat({grad_reset, grad_update, grad_fresh.mul(reset)}, 1);
  return {grad_in, grad_hidden, grad_hy.mul(update), has_bias ? grad_in.sum(0) : at::Tensor(), has_bias ? grad_hidden.sum(0) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_thnn_fused_gru_cell", TORCH_FN(gru_cell));
  m.impl("_thnn_fused_gru_cell_backward", TORCH_FN(gru_cell_backward));
}

}  // namespace torch_npu::ops
