// Pinned host memory: upstream's caching scheme over aclrtMallocHost, our streams and our events.
#include <ATen/core/CachingHostAllocator.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "cann/cann.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "memory/allocators.h"
#include "memory/cann_backend.h"
#include "memory/settings.h"

namespace torch_npu {
namespace memory {
namespace {

// Where the pinned memory of this process is, so that asking needs no call to CANN.
class PinnedRanges {
 public:
  void add(const void* base, size_t bytes) {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    ranges_[static_cast<const char*>(base)] = bytes;
  }

  void remove(const void* base) {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    ranges_.erase(static_cast<const char*>(base));
  }

  bool hold(const void* p) const {
    std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto at = static_cast<const char*>(p);
    auto next = ranges_.upper_bound(at);
    if (next == ranges_.begin()) return false;
    --next;
    return at < next->first + next->second;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<const char*, size_t> ranges_;
};

PinnedRanges& pinned_ranges() {
  static auto* ranges = new PinnedRanges;
  return *ranges;
}

// Adds the time until its end to one of the statistics.
class Stopwatch {
 public:
  Stopwatch(at::HostStatsStaged& stats, c10::CachingAllocator::DurationStat at::HostStatsStaged::*stat)
      : stats_(stats), stat_(stat), start_(std::chrono::steady_clock::now()) {}
  ~Stopwatch() {
    const auto spent = std::chrono::steady_clock::now() - start_;
    std::lock_guard<std::mutex> lock(stats_.timing_mutex_);
    (stats_.*stat_).increase(std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
  }

 private:
  at::HostStatsStaged& stats_;
  c10::CachingAllocator::DurationStat at::HostStatsStaged::*stat_;
  std::chrono::steady_clock::time_point start_;
};

using Event = std::unique_ptr<NPUEvent>;

class HostCache final : public at::CachingHostAllocatorImpl<c10::Stream, Event> {
 public:
  // Runs in deleters, which must not raise: a block whose last use cannot be told any more (the device failed or was shut
  // down) is never used again.
  void free(void* context) noexcept override {
    try {
      at::CachingHostAllocatorImpl<c10::Stream, Event>::free(context);
    } catch (...) {
    }
  }

  void copy_data(void* dest, const void* src, size_t bytes) const override { std::memcpy(dest, src, bytes); }

 private:
  void allocate_host_memory(size_t bytes, void** data) override {
    load_settings();  // raises if they are wrong
    current_device();  // CANN pins memory for a thread that has a device
    if (try_allocate(bytes, data)) return;
    empty_cache();  // what is cached in other sizes may be enough
    if (try_allocate(bytes, data)) return;
    const at::HostStats stats = getStats();
    TORCH_CHECK(false, "Out of pinned host memory. Tried to allocate ", c10::CachingAllocator::format_size(bytes), "; ",
                c10::CachingAllocator::format_size(static_cast<uint64_t>(stats.active_bytes.current)),
                " of pinned memory is in use by this process. What to try: fewer DataLoader workers or a smaller"
                " prefetch_factor, or pin_memory=False.");
  }

  bool try_allocate(size_t bytes, void** data) {
    const Stopwatch watch(stats_, &at::HostStatsStaged::host_alloc_time);
    const int code = cann::aclrtMallocHost(data, bytes);
    if (code == ACL_ERROR_RT_MEMORY_ALLOCATION || code == ACL_ERROR_BAD_ALLOC) return false;
    cann::check(code, "aclrtMallocHost");
    pinned_ranges().add(*data, bytes);
    return true;
  }

  void free_block(at::HostBlock<c10::Stream>* block) override {
    const Stopwatch watch(stats_, &at::HostStatsStaged::host_free_time);
    pinned_ranges().remove(block->ptr_);
    NPU_CHECK(cann::aclrtFreeHost(block->ptr_));
  }

  void record_stream(optional<std::vector<Event>>& events, c10::Stream stream) override {
    events->push_back(event_pool().record(stream));
  }

  bool query_event(Event& event) override {
    if (!event->query()) return false;
    event_pool().recycle(std::move(event));
    return true;
  }

  c10::Stream get_current_stream() const override { return current_stream(current_device()); }
  bool stream_is_capturing(c10::Stream) const override { return false; }
};

void delete_host_block(void* context);

class HostAllocator final : public at::CachingHostAllocatorInterface<HostCache, delete_host_block> {};

HostAllocator* allocator() {
  static auto* instance = new HostAllocator;  // never deleted: tensors may outlive static destruction
  return instance;
}

void delete_host_block(void* context) { allocator()->free(context); }

REGISTER_HOST_ALLOCATOR(c10::kPrivateUse1, allocator())

}  // namespace
}  // namespace memory

at::HostAllocator* host_allocator() { return memory::allocator(); }

bool is_pinned_ptr(const void* p) {
  if (p == nullptr || !is_initialized()) return false;
  if (memory::pinned_ranges().hold(p)) return true;
  if (!cann::aclrtPointerGetAttributes.available()) return false;
  aclrtPtrAttributes attributes{};
  // An address CANN does not know is an error to some versions and "unregistered" to others; both mean not pinned.
  return cann::aclrtPointerGetAttributes(p, &attributes) == 0 && attributes.location.type == ACL_MEM_LOCATION_TYPE_HOST;
}

}  // namespace torch_npu
