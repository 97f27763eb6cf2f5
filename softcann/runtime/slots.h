// Handles that can be checked: objects live in one reserved range of addresses and are never returned to the system, so
// whether a pointer is a live handle is a range check and one load, whatever the client passes.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <new>
#include <vector>

namespace softcann::runtime {

// Base of every object behind a handle.
struct SlotObject {
  std::atomic<bool> live{false};
};

template <class T, size_t Capacity>
class Slots {
 public:
  Slots() {
    void* p = mmap(nullptr, Capacity * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base_ = p == MAP_FAILED ? nullptr : static_cast<char*>(p);
  }

  // An object that is not live yet: either new or one that was recycled; nullptr if all are taken.
  T* take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_.size() > kRest || (used_ == Capacity && !free_.empty())) {
      T* slot = free_.front();
      free_.pop_front();
      return slot;
    }
    if (base_ == nullptr || used_ == Capacity) return nullptr;
    return new (base_ + sizeof(T) * used_++) T;
  }

  // The object rests before it is used again, so that a stale handle is recognised for a while.
  void give(T* slot) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(slot);
  }

  // The live object behind `handle`, else nullptr.
  T* get(const void* handle) const {
    const size_t distance = static_cast<size_t>(static_cast<const char*>(handle) - base_);
    if (handle == nullptr || distance >= Capacity * sizeof(T) || distance % sizeof(T) != 0) return nullptr;
    T* slot = reinterpret_cast<T*>(base_ + distance);
    // A slot that was never taken reads as zeros.
    return slot->live.load(std::memory_order_acquire) ? slot : nullptr;
  }

  template <class F>
  void for_each_live(F f) {
    size_t used;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      used = used_;
    }
    for (size_t i = 0; i < used; ++i) {
      if (T* slot = get(base_ + i * sizeof(T))) f(*slot);
    }
  }

 private:
  static constexpr size_t kRest = 1024;
  std::mutex mutex_;
  char* base_ = nullptr;
  size_t used_ = 0;
  std::deque<T*> free_;
};

}  // namespace softcann::runtime
