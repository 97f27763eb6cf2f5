// The caching allocator of one device.
//
// Memory comes from the device in segments and is handed out in blocks. A free block may be handed out again on its own
// stream at once, because launches reach a stream in the order in which the host makes them; a block that other streams
// used (record_stream) waits for an event on each of them. Giving memory back to the device waits for the device.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Device.h>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cann/export.h"
#include "memory/backend.h"
#include "memory/block.h"
#include "memory/history.h"
#include "memory/light_mutex.h"
#include "memory/settings.h"
#include "memory/tally.h"

namespace torch_npu::memory {

// Told before OutOfMemoryError is raised: device, bytes asked for, bytes of the device in total, bytes of it that are free.
using OutOfMemoryObserver = std::function<void(c10::DeviceIndex, size_t, size_t, size_t)>;
using StreamFilter = std::function<bool(c10::Stream)>;

class TORCH_NPU_API DeviceCache {
 public:
  DeviceCache(c10::DeviceIndex device, std::unique_ptr<DeviceBackend> backend, Settings settings);
  ~DeviceCache();
  DeviceCache(const DeviceCache&) = delete;
  DeviceCache& operator=(const DeviceCache&) = delete;

  c10::DeviceIndex device() const { return device_; }

  // A block of at least `bytes` (> 0) for use on `stream`. Raises c10::OutOfMemoryError.
  Block* malloc(size_t bytes, c10::StreamId stream);
  // Never raises: it runs in deleters.
  void free(Block* block) noexcept;
  void record_stream(Block* block, c10::Stream stream);
  // Takes it back: the caller has ordered the block's own stream behind `stream`.
  void erase_stream(Block* block, c10::Stream stream);

  // Gives all cached memory (of one private pool, if `pool` is not {0, 0}) back to the device.
  void empty_cache(c10::MempoolId_t pool);
  // Takes the addresses of unused memory of expandable segments away and keeps the memory, which is quicker than giving it back and
  // taking it again. Raises without expandable segments.
  void empty_virtual_cache();

  c10::CachingDeviceAllocator::DeviceStats stats();
  void reset_accumulated_stats();
  void reset_peak_stats();
  std::pair<size_t, size_t> memory_info();

  void apply(const Settings& settings);
  void set_memory_fraction(double fraction);
  double memory_fraction();

  // Allocations of streams that `filter` accepts come from private pool `id` until end_allocate_to_pool().
  void begin_allocate_to_pool(c10::MempoolId_t id, StreamFilter filter);
  void end_allocate_to_pool(c10::MempoolId_t id);
  // `options` count for the first reference.
  void retain_pool(c10::MempoolId_t id, const PoolOptions& options = {});
  // Drops a reference that begin_allocate_to_pool() or retain_pool() took; without any, empty_cache() may free the pool.
  void release_pool(c10::MempoolId_t id);
  int pool_use_count(c10::MempoolId_t id);

  // The live block that holds `address`, or null.
  Block* find(const void* address);

  std::vector<c10::CachingDeviceAllocator::SegmentInfo> snapshot(c10::MempoolId_t pool);
  History& history() { return history_; }
  void attach_out_of_memory_observer(OutOfMemoryObserver observer);

 private:
  using Lock = std::unique_lock<LightMutex>;

  size_t rounded(size_t bytes) const;
  size_t segment_bytes(size_t rounded_bytes) const;
  PrivatePool& pool_for(c10::StreamId stream);
  PrivatePool& pool_of(c10::MempoolId_t id);
  Space& space_for(size_t rounded_bytes, c10::StreamId stream);

  Block* new_block(Segment* segment, Space* space, char* data, size_t bytes);
  void drop_block(Block* block);
  Block* find_free(Space& space, size_t bytes) const;
  bool should_split(const Block* block, size_t bytes) const;
  Block* split(Block* block, size_t bytes);
  void join_after(Block* block);
  void hand_out(Block* block, size_t bytes, size_t requested);
  void finish_free(Block* block);
  void trace(History::Entry::Action action, const Block* block);
  Block* make_free(Block* block);

  Block* malloc_slow(Lock& lock, Space& space, size_t bytes, size_t requested);
  Block* new_segment(Lock& lock, Space& space, size_t bytes);
  Block* from_spare_pools(const Space& space, size_t bytes);
  Block* expand(Space& space, size_t bytes);
  Block* map_run(Block* first, size_t bytes);
  Block* map_part(Block* unmapped, size_t bytes);
  Segment* reserve_segment(Space& space);
  bool within_limit(size_t more);
  size_t device_bytes();

  void collect_garbage(size_t more);
  bool release_oversize(Space& space, size_t bytes);
  void release_cached(const PrivatePool* only);
  void release_free(Block* block);
  void release_segment(Block* block);
  void release_uncached(Block* block) noexcept;
  static std::pair<size_t, size_t> whole_granules(const Block* block);
  void unmap_whole_granules(Block* block);
  void reuse_holes(size_t bytes);
  void drop_unused_pools();
  [[noreturn]] void out_of_memory(Lock& lock, Space& space, size_t requested);

  void defer_free(Block* block) noexcept;
  void reclaim_finished();
  void wait_for_uses();
  void finish_use(Block* block);

  void count_active(const Block* block, bool more);
  void count_inactive(const Block* block, bool more);
  void count_reserved(const Space& space, size_t bytes, bool more);
  void count_segment(const Segment& segment, bool more);

  const c10::DeviceIndex device_;
  const std::unique_ptr<DeviceBackend> backend_;

  LightMutex mutex_;
  Settings settings_;
  double memory_fraction_ = 1;
  StreamPool* recent_pool_ = nullptr;  // default pool of the stream that allocated last
  c10::StreamId recent_stream_ = 0;
  std::map<c10::MempoolId_t, std::unique_ptr<PrivatePool>> pools_;
  std::vector<std::pair<c10::MempoolId_t, StreamFilter>> filters_;  // begin_allocate_to_pool(), first match wins
  std::map<char*, std::unique_ptr<Segment>> segments_;
  Block* spare_blocks_ = nullptr;
  std::vector<std::unique_ptr<Block[]>> slabs_;

  std::unordered_map<c10::Stream, std::deque<std::pair<void*, Block*>>> uses_;  // events, oldest first
  std::vector<Block*> unfinished_;  // freed, but no event could be recorded (yet): capture underway, or the device failed
  size_t pending_uses_ = 0;         // entries of both

  uint64_t clock_ = 0;
  size_t device_bytes_ = 0;
  size_t most_reserved_ = 0;
  bool keep_unmapped_ = false;  // within empty_virtual_cache()
  Tallies tallies_;
  c10::CachingDeviceAllocator::DeviceStats stats_;  // what Tallies does not have
  std::vector<OutOfMemoryObserver> observers_;
  History history_;
  History::Context cause_;  // where the call came from that grows or shrinks the cache; captured before taking the lock
};

}  // namespace torch_npu::memory
