// torch's fallback to the CPU, with an error for views: their memory cannot be that of a CPU tensor.
#pragma once

#include <ATen/native/CPUFallback.h>

namespace torch_compat {

inline void cpu_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
#if TORCH_NPU_TORCH_VERSION < 20100
  for (const c10::Argument& output : op.schema().returns()) {
    TORCH_CHECK(output.alias_info() == nullptr || output.alias_info()->isWrite(), "The operator ", op.schema().operator_name(),
                " appears to be a view operator, but it has no implementation for npu. View operators don't support falling back to run "
                "on the CPU, since the tensor's storage cannot be shared across devices.");
  }
  at::native::cpu_fallback(op, stack);
#else
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
#endif
}

}  // namespace torch_compat
