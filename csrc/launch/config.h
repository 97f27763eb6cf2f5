// Environment of the launcher, read once.
#pragma once

namespace torch_npu::launch {

struct Config {
  int task_queue;       // TASK_QUEUE_ENABLE, 0 while blocking: the mode until set_task_queue()
  bool blocking;        // ASCEND_LAUNCH_BLOCKING=1: synchronise the stream after every launch
  bool reuse_executors; // TORCH_NPU_REUSE_EXECUTORS != 0
  bool stacks;          // TORCH_NPU_LAUNCH_STACKS=1 or TORCH_SHOW_CPP_STACKTRACES=1: keep the Python stack of every launch for errors
};

const Config& config();

}  // namespace torch_npu::launch
