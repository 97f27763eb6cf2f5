// Python stacks of recent launches, for errors that come later: kept only when asked for (launch/config.h).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cann/export.h"
#include "compat/gathered_context.h"

namespace torch_npu::launch {

// `capture` notes where the calling thread is, `print` makes text of it and may take the GIL; both come with the bindings.
struct StackFunctions {
  std::shared_ptr<c10::GatheredContext> (*capture)();
  std::string (*print)(const std::shared_ptr<c10::GatheredContext>& stack);
};
TORCH_NPU_API void set_stack_functions(StackFunctions functions);

// Keeps the caller's stack; returns its number, 0 if stacks are not wanted.
uint64_t keep_stack();

// A paragraph for an error's text: the kept stack of that number. Empty if there is none (any more).
std::string describe_stack(uint64_t number);

// On the consumer: the stack of the launch whose exception is being handled, 0 if it was no launch. Asked for once.
uint64_t take_failed_stack();

// describe_stack() of the launch that describe_culprit() names for the same message.
std::string describe_culprit_stack(c10::DeviceIndex device, std::string_view cann_message);

}  // namespace torch_npu::launch
