// The statistics that change with every allocation, in a form that is cheap to change; read as c10's StatArray.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <cstdint>
#include <map>

namespace torch_npu::memory {

// One of DeviceStats' arrays: the sum, the small and the large pool.
class Tally {
 public:
  void add(bool small, int64_t amount) {
    all_.add(amount);
    part(small).add(amount);
  }

  void remove(bool small, int64_t amount) {
    all_.current -= amount;
    part(small).current -= amount;
  }

  // Either of the two.
  void change(bool small, int64_t amount, bool more) { more ? add(small, amount) : remove(small, amount); }

  int64_t current() const { return all_.current; }

  void reset_accumulated() {
    for (Counter* counter : {&all_, &small_, &large_}) {
      counter->added_before = counter->added;
      counter->removed_before = counter->added - counter->current;
    }
  }

  void reset_peak() {
    for (Counter* counter : {&all_, &small_, &large_}) counter->peak = counter->current;
  }

  c10::CachingAllocator::StatArray read() const { return {all_.read(), small_.read(), large_.read()}; }

 private:
  struct Counter {
    int64_t current = 0;
    int64_t peak = 0;
    int64_t added = 0;
    int64_t added_before = 0;  // values at the last reset_accumulated()
    int64_t removed_before = 0;

    void add(int64_t amount) {
      current += amount;
      added += amount;
      peak = std::max(peak, current);
    }

    c10::CachingAllocator::Stat read() const {
      c10::CachingAllocator::Stat stat;
      stat.current = current;
      stat.peak = peak;
      stat.allocated = added - added_before;
      stat.freed = added - current - removed_before;
      return stat;
    }
  };

  Counter& part(bool small) { return small ? small_ : large_; }

  Counter all_;
  Counter small_;
  Counter large_;
};

// What DeviceStats has per size class; the members have its names.
struct Tallies {
  Tally allocation;
  Tally segment;
  Tally active;
  Tally inactive_split;
  Tally allocated_bytes;
  Tally reserved_bytes;
  Tally active_bytes;
  Tally inactive_split_bytes;
  Tally requested_bytes;
  std::map<c10::MempoolId_t, Tally> reserved_bytes_by_private_pools;

  template <class F>
  void for_each(F f) {
    for (Tally* tally : {&allocation, &segment, &active, &inactive_split, &allocated_bytes, &reserved_bytes,
                         &active_bytes, &inactive_split_bytes, &requested_bytes}) {
      f(*tally);
    }
    for (auto& [pool, tally] : reserved_bytes_by_private_pools) f(tally);
  }

  void read_into(c10::CachingDeviceAllocator::DeviceStats& stats) const {
    stats.allocation = allocation.read();
    stats.segment = segment.read();
    stats.active = active.read();
    stats.inactive_split = inactive_split.read();
    stats.allocated_bytes = allocated_bytes.read();
    stats.reserved_bytes = reserved_bytes.read();
    stats.active_bytes = active_bytes.read();
    stats.inactive_split_bytes = inactive_split_bytes.read();
    stats.requested_bytes = requested_bytes.read();
    for (const auto& [pool, tally] : reserved_bytes_by_private_pools) {
      stats.reserved_bytes_by_private_pools[pool] = tally.read();
    }
  }
};

}  // namespace torch_npu::memory
