// What happened to the memory of one device, kept for snapshots: the last N allocations, frees and segments.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/ApproximateClock.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "cann/export.h"

namespace torch_npu::memory {

class TORCH_NPU_API History {
 public:
  using Entry = c10::CachingDeviceAllocator::TraceEntry;
  using RecordContext = c10::CachingDeviceAllocator::RecordContext;
  using Context = std::shared_ptr<c10::GatheredContext>;

  // `make_context` captures where the calling thread is; it may take the GIL and is called without any allocator lock.
  // It runs in deleters only when `when` is RecordContext::ALL.
  void configure(bool enabled, c10::CachingDeviceAllocator::CreateContextFn make_context, size_t max_entries,
                 RecordContext when, bool clear);

  bool on() const { return on_.load(std::memory_order_relaxed); }
  // The caller's context if events of `kind` are to carry one, else null.
  Context context(RecordContext kind) const;
  void add(Entry::Action action, c10::DeviceIndex device, const void* address, size_t bytes, c10::StreamId stream,
           c10::MempoolId_t pool, Context context);
  // Oldest first, with times in microseconds since 1970.
  std::vector<Entry> entries();

 private:
  std::atomic<bool> on_{false};
  std::atomic<c10::CachingDeviceAllocator::CreateContextFn> make_context_{nullptr};
  std::atomic<RecordContext> when_{RecordContext::NEVER};
  mutable std::mutex mutex_;
  size_t max_entries_ = 1;
  size_t oldest_ = 0;
  std::vector<Entry> ring_;
  std::optional<c10::ApproximateClockToUnixTimeConverter> clock_;
};

}  // namespace torch_npu::memory
