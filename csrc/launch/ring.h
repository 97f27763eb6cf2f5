// A byte ring with many producers and one consumer. Records are contiguous and 8-byte aligned.
//
// No system call on the fast path: a producer takes a spin lock, copies, publishes; it wakes the consumer only if that has
// gone to sleep, which it does only after having found nothing for a while.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace torch_npu::launch {

class Ring {
 public:
  static constexpr size_t kCapacity = size_t{1} << 21;
  // Larger records travel by pointer (see queue.cpp), so that one record never fills the ring.
  static constexpr size_t kMaxRecord = kCapacity / 8;

  Ring();

  // Producers. reserve() returns room for `bytes` (multiple of 8, at most kMaxRecord) and holds the producer lock until
  // publish(). Blocks while the ring is full.
  void* reserve(size_t bytes);
  void publish();

  // Position after everything published so far; reached(p) says whether the consumer has finished all before p.
  uint64_t published() const { return tail_.load(std::memory_order_acquire); }
  bool reached(uint64_t position) const { return head_.load(std::memory_order_acquire) >= position; }
  void wait_reached(uint64_t position);

  // Consumer. next() returns the oldest record, sleeping until there is one; nullptr after stop(). release() marks it done.
  void* next();
  void release();
  void stop();

 private:
  struct Prefix {
    uint32_t bytes;  // with prefix
    uint32_t skip;   // 1: padding up to the end of the buffer
  };
  void sleep_until_published(uint64_t head);

  std::unique_ptr<std::byte[]> data_;
  alignas(64) std::atomic<bool> lock_{false};
  uint64_t reserved_ = 0;            // producer: end of the record being written
  uint64_t known_head_ = 0;          // producer: a head seen earlier; spares reading the consumer's cache line
  alignas(64) std::atomic<uint64_t> tail_{0};
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint32_t> sleeping_{0};
  std::atomic<uint32_t> progress_{0};  // futex word of wait_reached
  std::atomic<uint32_t> waiters_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace torch_npu::launch
