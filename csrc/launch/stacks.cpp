#include "launch/stacks.h"

#include <array>
#include <mutex>

#include "launch/config.h"

namespace torch_npu::launch {
namespace {

// As many as launches can be in the queue or on the device and still be named by an error.
constexpr uint64_t kKept = 4096;

std::mutex mutex;
StackFunctions functions{nullptr, nullptr};
uint64_t count = 0;
auto& stacks = *new std::array<std::shared_ptr<c10::GatheredContext>, kKept>;  // leaked: they hold Python objects

}  // namespace

void set_stack_functions(StackFunctions given) {
  std::lock_guard lock(mutex);
  functions = given;
}

uint64_t keep_stack() {
  if (C10_LIKELY(!config().stacks) || functions.capture == nullptr) return 0;
  auto stack = functions.capture();
  std::lock_guard lock(mutex);
  stacks[++count % kKept].swap(stack);
  return count;
}

std::string describe_stack(uint64_t number) {
  std::shared_ptr<c10::GatheredContext> stack;
  {
    std::lock_guard lock(mutex);
    if (number == 0 || number > count || count - number >= kKept) return {};
    stack = stacks[number % kKept];
  }
  return "It was called here:\n" + functions.print(stack);
}

}  // namespace torch_npu::launch
