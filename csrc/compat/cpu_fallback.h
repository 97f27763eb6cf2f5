// torch's fallback to the CPU, with an error for views: their memory cannot be that of a CPU tensor.
#pragma once

#include <ATen/native/CPUFallback.h>

namespace torch_compat {

#if TORCH_NPU_TORCH_VERSION < 20100
// Where results belong of an operator that takes all its tensors in lists; torch left them on the CPU.
inline c10::optional<c10::Device> device_of_lists(const c10::IValue* arguments, size_t n) {
  c10::optional<c10::Device> device;
  for (size_t i = 0; i < n; ++i) {
    if (arguments[i].isTensor()) return c10::nullopt;
    if (!device.has_value() && arguments[i].isTensorList() && !arguments[i].toTensorList().empty()) {
      device = arguments[i].toTensorList().get(0).device();
    }
  }
  return device;
}
#endif

#if TORCH_NPU_TORCH_VERSION < 20200
// The CPU's kernel reads the softmax's memory as if it were contiguous.
inline void make_contiguous_for(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (op.schema().name() != "aten::_softmax_backward_data") return;
  const std::vector<c10::Argument>& arguments = op.schema().arguments();
  const size_t first = stack->size() - arguments.size();
  for (size_t i = 0; i < arguments.size(); ++i) {
    c10::IValue& argument = (*stack)[first + i];
    if (argument.isTensor() && arguments[i].alias_info() == nullptr) argument = argument.toTensor().contiguous();
  }
}
#endif

inline void cpu_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
#if TORCH_NPU_TORCH_VERSION < 20200
  make_contiguous_for(op, stack);
#endif
#if TORCH_NPU_TORCH_VERSION < 20100
  for (const c10::Argument& output : op.schema().returns()) {
    TORCH_CHECK(output.alias_info() == nullptr || output.alias_info()->isWrite(), "The operator ", op.schema().operator_name(),
                " appears to be a view operator, but it has no implementation for npu. View operators don't support falling back to run "
                "on the CPU, since the tensor's storage cannot be shared across devices.");
  }
  const size_t n = op.schema().arguments().size();
  const auto device = device_of_lists(stack->data() + (stack->size() - n), n);
  at::native::cpu_fallback(op, stack);
  if (!device.has_value()) return;
  for (size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); ++i) {
    c10::IValue& result = (*stack)[i];
    if (result.isTensor() && result.toTensor().defined()) result = result.toTensor().to(*device);
    if (result.isTensorList()) {
      c10::List<at::Tensor> moved;
      for (const at::Tensor& t : result.toTensorVector()) moved.push_back(t.to(*device));
      result = std::move(moved);
    }
  }
#else
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
#endif
}

}  // namespace torch_compat
