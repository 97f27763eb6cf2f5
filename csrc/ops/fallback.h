// Operators without an npu kernel run on the CPU: said once per operator, counted, and refused on demand.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cann/export.h"

namespace torch_npu::ops {

// Boxed kernel: copies the arguments to the CPU, runs the operator there and copies the results back. TORCH_NPU_FALLBACK
// says how: `warn` (default, once per operator), `silent`, or `error` (raises NotImplementedError). View operators always
// raise: a copy cannot alias its base.
void npu_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack);

// Why the next fallback on this thread happens, for its message: what the kernel does not do ("for these dtypes") and the reason,
// for example which dtypes it takes.
void explain_next_fallback(const char* what, std::string reason);

// Who says it; by default c10's warning handler, which prints to stderr where torch has not put one of its own.
using FallbackWarner = void (*)(const std::string& text);
TORCH_NPU_API void set_fallback_warner(FallbackWarner warner);

struct FallbackCount {
  std::string op;   // "aten::median"; with overload name "aten::median.dim"
  uint64_t calls;
  uint64_t bytes;   // of npu tensors among the arguments, that is what was copied to the CPU
  std::string reason;  // what the npu kernel refused the first time; empty where there is no kernel
};

// All operators that fell back in this process, most calls first.
TORCH_NPU_API std::vector<FallbackCount> fallback_counts();
TORCH_NPU_API void reset_fallback_counts();

}  // namespace torch_npu::ops
