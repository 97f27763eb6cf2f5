// Device memory that several processes use: handles to send, and who still uses what.
//
// The sender exports the segment that a storage lies in and keeps the storage alive for as long as a counter in a piece of memory,
// mapped by both processes, is not zero. The receiver maps the segment and counts down when its last storage there dies. An
// event recorded by the sender orders the receiver's work behind what the sender was doing.
#pragma once

#include <c10/core/Storage.h>

#include <cstddef>
#include <string>

#include "cann/export.h"

namespace torch_npu {

struct SharedStorage {
  int device;
  int process;           // of the sender
  std::string key;       // CANN's, of the whole segment
  size_t offset;         // of the storage in the segment
  size_t bytes;
  std::string counters;  // where the sender has them
  int slot;              // which counter
  std::string event;     // CANN's handle; empty: the memory is ready
};

// Counts one use more; whoever gets the handle has to open it, or the memory stays.
TORCH_NPU_API SharedStorage share_storage(const c10::Storage& storage);
TORCH_NPU_API c10::Storage open_shared_storage(const SharedStorage& shared);

// Drops what no other process uses any more. Returns how many storages still wait for other processes.
TORCH_NPU_API size_t collect_shared_storages();

}  // namespace torch_npu
