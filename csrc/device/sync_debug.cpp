#include "device/sync_debug.h"

#include <c10/util/Exception.h>

#include <atomic>

namespace torch_npu {
namespace {

std::atomic<SyncDebug> mode{SyncDebug::off};

}  // namespace

SyncDebug sync_debug() noexcept { return mode.load(std::memory_order_relaxed); }

void set_sync_debug(SyncDebug value) noexcept { mode = value; }

void report_synchronization(const char* what) {
  TORCH_CHECK(sync_debug() != SyncDebug::error, "called a synchronizing NPU operation: ", what,
              ". torch.npu.set_sync_debug_mode(\"error\") forbids it.");
  TORCH_WARN("called a synchronizing NPU operation: ", what);
}

}  // namespace torch_npu
