// A mutex that costs two atomic instructions when nobody else wants it; waiters sleep.
#pragma once

#include <atomic>
#include <cstdint>

namespace torch_npu::memory {

class LightMutex {
 public:
  void lock() {
    uint32_t expected = kOpen;
    if (!state_.compare_exchange_strong(expected, kTaken, std::memory_order_acquire)) wait();
  }

  bool try_lock() {
    uint32_t expected = kOpen;
    return state_.compare_exchange_strong(expected, kTaken, std::memory_order_acquire);
  }

  void unlock() {
    if (state_.exchange(kOpen, std::memory_order_release) == kWanted) state_.notify_one();
  }

 private:
  enum : uint32_t { kOpen, kTaken, kWanted };  // kWanted: taken, and somebody may sleep

  void wait() {
    while (state_.exchange(kWanted, std::memory_order_acquire) != kOpen) state_.wait(kWanted, std::memory_order_relaxed);
  }

  std::atomic<uint32_t> state_{kOpen};
};

}  // namespace torch_npu::memory
