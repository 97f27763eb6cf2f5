// What phase 1 of an operator leaves for phase 2. Executors come from a pool and are never given back to the system, so that a
// handle used once too often is recognised instead of being read after it was freed.
//
// An executor holds everything phase 2 needs by value: neither the client's aclTensor objects nor the thread that ran phase 1 are needed
// any more.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "softcann/nnop/objects.h"

namespace softcann::nnop {

enum class Direction : uint8_t { kIn, kOut, kInOut };

// One tensor of a call; the elements of a list count singly.
struct TensorArgument {
  void* address;   // the client's: start of the storage
  void* alias;     // the same byte where kernels may touch it; null until an address is known
  uint64_t begin;  // bytes from `address` that the view covers, both 0 for an empty view
  uint64_t end;
  const void* list;    // the client's aclTensorList, only compared with
  uint16_t parameter;  // counted over tensors and lists
  Direction direction;
  bool present;

  bool needs_memory() const { return present && end != 0; }
};

enum class ExecutorState : uint32_t { kFree, kReady, kSubmitted };

}  // namespace softcann::nnop

struct aclOpExecutor {
  static constexpr uint64_t kMagic = 0x736f6674636e6e45;
  uint64_t magic = kMagic;
  std::atomic<softcann::nnop::ExecutorState> state{softcann::nnop::ExecutorState::kFree};
  std::atomic<uint32_t> owners{0};  // the client's handle and, if repeatable, each submitted run
  bool repeatable = false;
  int device = -1;
  const char* name = nullptr;  // the operator's
  const void* op = nullptr;    // its description, libopapi.so's business
  std::vector<softcann::nnop::TensorArgument> tensors;
  void* kernel = nullptr;  // bound arguments, libsoftcann_kernels.so's business
  void (*release_kernel)(void*) = nullptr;
  std::mutex running;  // a repeatable executor may be on several streams
  aclOpExecutor* next_free = nullptr;
};

namespace softcann::nnop {

// An executor in state kReady with one owner.
[[gnu::visibility("default")]] aclOpExecutor* acquire(const char* name, const void* op, int device);
// Gives up one ownership; the last one returns the executor to the pool.
[[gnu::visibility("default")]] void release(aclOpExecutor* executor);
// 0, or CANN's code after fail(): null, not an executor, consumed.
[[gnu::visibility("default")]] int check_ready(const char* function, const aclOpExecutor* executor);
// Makes `address` the start of the tensor's storage. Null is taken (the address may follow later).
[[gnu::visibility("default")]] int set_address(const char* function, aclOpExecutor& executor, TensorArgument& tensor,
                                               void* address);

}  // namespace softcann::nnop
