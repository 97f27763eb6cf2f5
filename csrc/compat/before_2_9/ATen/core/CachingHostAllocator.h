// Pinned host memory that is used again: blocks of powers of two, which wait for events of the streams that used them.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "compat/interfaces.h"

namespace at {

struct HostStats {
  c10::CachingAllocator::Stat active_requests, active_bytes, allocations, allocated_bytes;
  c10::CachingAllocator::DurationStat host_alloc_time, host_free_time;
  int64_t num_host_alloc = 0;
  int64_t num_host_free = 0;
};

struct HostStatsStaged {
  std::mutex timing_mutex_;
  c10::CachingAllocator::DurationStat host_alloc_time, host_free_time;
};

template <class S>
struct HostBlock {
  size_t size_;
  void* ptr_;
  bool allocated_ = true;
  std::unordered_set<S> streams_;  // that used it since it was handed out
};

struct HostAllocator : torch_compat::Allocator {
  virtual bool record_event(void* ptr, void* context, c10::Stream stream) = 0;
  virtual void empty_cache() = 0;
  virtual HostStats get_stats() = 0;
  virtual void reset_accumulated_stats() = 0;
  virtual void reset_peak_stats() = 0;
};

template <class S, class E>
class CachingHostAllocatorImpl {
 public:
  using Block = HostBlock<S>;
  virtual ~CachingHostAllocatorImpl() = default;

  // The memory and its block, which free() and record_event() take.
  std::pair<void*, void*> allocate(size_t size) {
    if (size == 0) return {nullptr, nullptr};
    using Config = c10::CachingAllocator::AcceleratorAllocatorConfig;
    size_t rounded = size;
    if (size <= Config::pinned_max_round_threshold() && size <= Config::pinned_max_cached_size()) {
      for (rounded = 1; rounded < size; rounded *= 2) {
      }
    }
    Block* block = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      reclaim();
      auto& free = free_[rounded];
      if (!free.empty()) {
        block = free.back();
        free.pop_back();
        block->allocated_ = true;
        count(block, true);
      }
    }
    if (block == nullptr) {
      void* data = nullptr;
      allocate_host_memory(rounded, &data);
      block = new Block{rounded, data};
      std::lock_guard<std::mutex> lock(mutex_);
      blocks_.emplace(data, block);
      owned_.insert(block);
      counts_.allocations.increase(1);
      counts_.allocated_bytes.increase(rounded);
      ++counts_.num_host_alloc;
      count(block, true);
    }
    return {block->ptr_, block};
  }

  virtual void free(void* context) {
    if (context == nullptr) return;
    auto* block = static_cast<Block*>(context);
    std::unordered_set<S> streams;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      block->allocated_ = false;
      count(block, false);
      streams.swap(block->streams_);
    }
    torch_compat::optional<std::vector<E>> events;
    if (!streams.empty()) {
      events = std::vector<E>();
      for (const S& stream : streams) record_stream(events, stream);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    if (events.has_value()) waiting_.push_back({std::move(*events), block});
    else cache(block);
  }

  // The block stays taken until `stream` has passed this point. False if the memory is none of this allocator's.
  virtual bool record_event(void* ptr, void* context, c10::Stream stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    // A view's data pointer is not the block's; a context may be of another allocator.
    Block* block = owned_.count(context) != 0 ? static_cast<Block*>(context) : nullptr;
    if (const auto known = blocks_.find(ptr); block == nullptr && known != blocks_.end()) block = known->second;
    if (block == nullptr) return false;
    block->streams_.insert(stream);
    return true;
  }

  virtual void empty_cache() {
    std::lock_guard<std::mutex> lock(mutex_);
    reclaim();
    for (auto& [size, free] : free_) {
      for (Block* block : free) release(block);
      free.clear();
    }
  }

  virtual void copy_data(void* dest, const void* src, size_t bytes) const = 0;

  void resetAccumulatedStats() {
    each([](c10::CachingAllocator::Stat& s) { s.reset_accumulated(); }, [](c10::CachingAllocator::DurationStat& s) { s.reset_accumulated(); });
  }
  void resetPeakStats() {
    each([](c10::CachingAllocator::Stat& s) { s.reset_peak(); }, [](c10::CachingAllocator::DurationStat& s) { s.reset_peak(); });
  }

  HostStats getStats() {
    std::lock_guard<std::mutex> lock(mutex_);
    HostStats stats = counts_;
    std::lock_guard<std::mutex> timing(stats_.timing_mutex_);
    stats.host_alloc_time = stats_.host_alloc_time;
    stats.host_free_time = stats_.host_free_time;
    return stats;
  }

 protected:
  virtual void allocate_host_memory(size_t size, void** ptr) = 0;
  virtual void free_block(Block* block) = 0;
  virtual void record_stream(torch_compat::optional<std::vector<E>>& events, S stream) = 0;
  virtual bool query_event(E& event) = 0;
  virtual S get_current_stream() const = 0;
  virtual bool stream_is_capturing(S stream) const = 0;

  HostStatsStaged stats_;

 private:
  template <class Amount, class Duration>
  void each(Amount amount, Duration duration) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::lock_guard<std::mutex> timing(stats_.timing_mutex_);
    for (auto* s : {&counts_.active_requests, &counts_.active_bytes, &counts_.allocations, &counts_.allocated_bytes}) amount(*s);
    for (auto* s : {&stats_.host_alloc_time, &stats_.host_free_time}) duration(*s);
  }

  // Under mutex_, all of these.
  void count(const Block* block, bool more) {
    if (more) {
      counts_.active_requests.increase(1);
      counts_.active_bytes.increase(block->size_);
    } else {
      counts_.active_requests.decrease(1);
      counts_.active_bytes.decrease(block->size_);
    }
  }
  void cache(Block* block) {
    if (block->size_ > c10::CachingAllocator::AcceleratorAllocatorConfig::pinned_max_cached_size()) release(block);
    else free_[block->size_].push_back(block);
  }
  void release(Block* block) {
    free_block(block);
    counts_.allocations.decrease(1);
    counts_.allocated_bytes.decrease(block->size_);
    ++counts_.num_host_free;
    blocks_.erase(block->ptr_);
    owned_.erase(block);
    delete block;
  }
  void reclaim() {
    for (size_t n = waiting_.size(); n > 0; --n) {
      auto [events, block] = std::move(waiting_.front());
      waiting_.pop_front();
      while (!events.empty() && query_event(events.back())) events.pop_back();
      if (events.empty()) cache(block);
      else waiting_.push_back({std::move(events), block});
    }
  }

  std::mutex mutex_;
  HostStats counts_;
  std::unordered_map<void*, Block*> blocks_;
  std::unordered_set<const void*> owned_;
  std::map<size_t, std::vector<Block*>> free_;
  std::deque<std::pair<std::vector<E>, Block*>> waiting_;
};

template <class Impl, c10::DeleterFnPtr deleter>
class CachingHostAllocatorInterface : public HostAllocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    const auto [data, context] = impl_.allocate(size);
    return {data, context, deleter, at::Device(at::kCPU)};
  }
  void free(void* context) { impl_.free(context); }
  bool record_event(void* ptr, void* context, c10::Stream stream) override { return impl_.record_event(ptr, context, stream); }
  void empty_cache() override { impl_.empty_cache(); }
  void copy_data(void* dest, const void* src, size_t bytes) const override { impl_.copy_data(dest, src, bytes); }
  HostStats get_stats() override { return impl_.getStats(); }
  void reset_accumulated_stats() override { impl_.resetAccumulatedStats(); }
  void reset_peak_stats() override { impl_.resetPeakStats(); }

 protected:
  Impl impl_;
};

// Pinned memory is asked for by name in torch (tensor.pin_memory); there is nothing to register with.
#define REGISTER_HOST_ALLOCATOR(device_type, allocator)

}  // namespace at
