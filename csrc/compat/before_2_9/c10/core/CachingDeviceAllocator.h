// Statistics and snapshots of caching allocators, and their common interface.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/AllocatorConfig.h>
#include <c10/core/Stream.h>
#include <c10/util/ApproximateClock.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compat/gathered_context.h"
#include "compat/interfaces.h"

namespace c10 {

using CaptureId_t = unsigned long long;
// {n, 0}: of a graph capture; {0, n}: of the user.
using MempoolId_t = std::pair<CaptureId_t, CaptureId_t>;

namespace CachingAllocator {

struct Stat {
  void increase(size_t amount) {
    current += static_cast<int64_t>(amount);
    allocated += static_cast<int64_t>(amount);
    if (current > peak) peak = current;
  }
  void decrease(size_t amount) {
    current -= static_cast<int64_t>(amount);
    freed += static_cast<int64_t>(amount);
  }
  void reset_accumulated() { allocated = freed = 0; }
  void reset_peak() { peak = current; }

  int64_t current = 0;
  int64_t peak = 0;
  int64_t allocated = 0;
  int64_t freed = 0;
};

enum struct StatType : uint64_t { AGGREGATE = 0, SMALL_POOL = 1, LARGE_POOL = 2, NUM_TYPES = 3 };
using StatArray = std::array<Stat, static_cast<size_t>(StatType::NUM_TYPES)>;

struct DurationStat {
  void increase(int64_t microseconds) {
    total += microseconds;
    ++count;
    if (microseconds > max) max = microseconds;
    if (count == 1 || microseconds < min) min = microseconds;
  }
  void reset_accumulated() { total = count = 0; }
  void reset_peak() { min = max = 0; }

  int64_t total = 0;
  int64_t max = 0;
  int64_t min = 0;
  int64_t count = 0;
};

inline std::string format_size(uint64_t size) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB"};
  double value = static_cast<double>(size);
  int unit = 0;
  for (; value > 1024 && unit < 3; ++unit) value /= 1024;
  char text[48];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

}  // namespace CachingAllocator

namespace CachingDeviceAllocator {

using namespace c10::CachingAllocator;

struct DeviceStats {
  StatArray allocation, segment, active, inactive_split;                             // numbers
  StatArray allocated_bytes, reserved_bytes, active_bytes, inactive_split_bytes, requested_bytes;
  std::map<MempoolId_t, StatArray> reserved_bytes_by_private_pools;
  Stat oversize_allocations, oversize_segments;
  int64_t num_alloc_retries = 0;
  int64_t num_ooms = 0;
  int64_t num_sync_all_streams = 0;
  int64_t num_device_alloc = 0;
  int64_t num_device_free = 0;
  int64_t max_split_size = 0;
};

using CreateContextFn = std::shared_ptr<GatheredContext> (*)();

// Which events carry the caller's stack; each includes those before it.
enum struct RecordContext { NEVER = 0, STATE = 1, ALLOC = 2, ALL = 3 };

struct BlockInfo {
  size_t size = 0;
  size_t requested_size = 0;
  int32_t gc_counter = 0;
  bool allocated = false;
  bool active = false;
  std::shared_ptr<GatheredContext> context_when_allocated;
};

struct SegmentInfo {
  DeviceIndex device = 0;
  size_t address = 0;
  size_t total_size = 0;
  size_t requested_size = 0;
  size_t allocated_size = 0;
  size_t active_size = 0;
  void* stream = nullptr;
  bool is_large = false;
  bool is_expandable = false;
  MempoolId_t owner_private_pool_id = {0, 0};
  std::vector<BlockInfo> blocks;
  std::shared_ptr<GatheredContext> context_when_allocated;
};

struct TraceEntry {
  enum Action { ALLOC, FREE_REQUESTED, FREE_COMPLETED, SEGMENT_ALLOC, SEGMENT_FREE, SEGMENT_MAP, SEGMENT_UNMAP, SNAPSHOT, OOM };

  TraceEntry(Action action, DeviceIndex device, size_t addr, size_t size, void* stream, MempoolId_t mempool, approx_time_t time,
             std::shared_ptr<GatheredContext> context = nullptr)
      : action_(action), device_(device), addr_(addr), context_(std::move(context)), stream_(stream), size_(size), mempool_(mempool) {
    time_.approx_t_ = time;
  }

  Action action_;
  DeviceIndex device_;
  size_t addr_;
  std::shared_ptr<GatheredContext> context_;
  void* stream_;
  size_t size_;
  MempoolId_t mempool_;
  union {
    time_t t_;
    approx_time_t approx_t_;
  } time_{};
};

}  // namespace CachingDeviceAllocator

// c10's interface took the allocator as const, and knew nothing but allocation.
struct DeviceAllocator : torch_compat::Allocator {
  virtual bool initialized() = 0;
  virtual void emptyCache(MempoolId_t pool = {0, 0}) = 0;
  virtual void recordStream(const DataPtr& data, Stream stream) = 0;
  virtual CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex device) = 0;
  virtual void resetAccumulatedStats(DeviceIndex device) = 0;
  virtual void resetPeakStats(DeviceIndex device) = 0;
  virtual std::pair<size_t, size_t> getMemoryInfo(DeviceIndex device) = 0;
};

}  // namespace c10
