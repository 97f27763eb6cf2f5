#include "launch/config.h"

#include <cstdlib>
#include <cstring>

namespace torch_npu::launch {
namespace {

bool env_is(const char* name, const char* value) {
  const char* v = std::getenv(name);
  return v != nullptr && std::strcmp(v, value) == 0;
}

}  // namespace

const Config& config() {
  static const Config c = [] {
    Config c;
    c.blocking = env_is("ASCEND_LAUNCH_BLOCKING", "1");
    c.task_queue = c.blocking || env_is("TASK_QUEUE_ENABLE", "0") ? 0 : env_is("TASK_QUEUE_ENABLE", "2") ? 2 : 1;
    c.reuse_executors = !env_is("TORCH_NPU_REUSE_EXECUTORS", "0");
    c.stacks = env_is("TORCH_NPU_LAUNCH_STACKS", "1") || env_is("TORCH_SHOW_CPP_STACKTRACES", "1");
    return c;
  }();
  return c;
}

}  // namespace torch_npu::launch
