// torch.npu.set_sync_debug_mode(): a warning or an error where an operation makes the host wait for a stream.
#pragma once

#include <c10/macros/Macros.h>

#include <cstdint>

#include "cann/export.h"

namespace torch_npu {

enum class SyncDebug : uint8_t { off, warn, error };
TORCH_NPU_API SyncDebug sync_debug() noexcept;
TORCH_NPU_API void set_sync_debug(SyncDebug mode) noexcept;

[[gnu::cold]] void report_synchronization(const char* what);

// Called before such a wait; `what` needs it.
inline void note_synchronization(const char* what) {
  if (C10_UNLIKELY(sync_debug() != SyncDebug::off)) report_synchronization(what);
}

}  // namespace torch_npu
