#include "launch/ring.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace torch_npu::launch {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

// Spinning first keeps the common short wait free of system calls; yielding lets a single core make progress.
constexpr int kSpins = 256;
constexpr int kYields = 16;

template <class Ready>
bool spin(Ready ready) {
  for (int i = 0; i < kSpins; ++i) {
    if (ready()) return true;
    pause();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready()) return true;
    sched_yield();
  }
  return false;
}

}  // namespace

Ring::Ring() : data_(new std::byte[kCapacity]) {}

void* Ring::reserve(size_t bytes) {
  while (lock_.exchange(true, std::memory_order_acquire)) {
    if (!spin([&] { return !lock_.load(std::memory_order_relaxed); })) {
      timespec nap{0, 20'000};
      nanosleep(&nap, nullptr);
    }
  }
  const size_t need = bytes + sizeof(Prefix);
  uint64_t at = tail_.load(std::memory_order_relaxed);
  const size_t to_end = kCapacity - (at & (kCapacity - 1));
  const size_t total = to_end < need ? to_end + need : need;
  if (at + total - known_head_ > kCapacity) {
    auto room = [&] {
      known_head_ = head_.load(std::memory_order_acquire);
      return at + total - known_head_ <= kCapacity;
    };
    while (!spin(room)) {
      timespec nap{0, 50'000};
      nanosleep(&nap, nullptr);
    }
  }
  if (to_end < need) {
    *reinterpret_cast<Prefix*>(&data_[at & (kCapacity - 1)]) = {static_cast<uint32_t>(to_end), 1};
    at += to_end;
  }
  auto* prefix = reinterpret_cast<Prefix*>(&data_[at & (kCapacity - 1)]);
  *prefix = {static_cast<uint32_t>(need), 0};
  reserved_ = at + need;
  return prefix + 1;
}

void Ring::publish() {
  tail_.store(reserved_, std::memory_order_seq_cst);
  // seq_cst above and in sleep_until_published: either the consumer sees the new tail or we see it asleep.
  const bool wake = sleeping_.load(std::memory_order_seq_cst) != 0;
  lock_.store(false, std::memory_order_release);
  if (wake && sleeping_.exchange(0) != 0) futex_wake(sleeping_, 1);
}

void Ring::sleep_until_published(uint64_t head) {
  auto ready = [&] {
    return tail_.load(std::memory_order_acquire) != head || stop_.load(std::memory_order_acquire);
  };
  while (!spin(ready)) {
    sleeping_.store(1, std::memory_order_seq_cst);
    if (tail_.load(std::memory_order_seq_cst) == head && !stop_.load(std::memory_order_seq_cst)) futex_wait(sleeping_, 1);
    sleeping_.store(0, std::memory_order_relaxed);
  }
}

void* Ring::next() {
  for (;;) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (tail_.load(std::memory_order_acquire) == head) {
      if (stop_.load(std::memory_order_acquire)) return nullptr;
      sleep_until_published(head);
      continue;
    }
    auto* prefix = reinterpret_cast<Prefix*>(&data_[head & (kCapacity - 1)]);
    if (!prefix->skip) return prefix + 1;
    head_.store(head + prefix->bytes, std::memory_order_release);
  }
}

void Ring::release() {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  auto* prefix = reinterpret_cast<Prefix*>(&data_[head & (kCapacity - 1)]);
  head_.store(head + prefix->bytes, std::memory_order_seq_cst);
  if (waiters_.load(std::memory_order_seq_cst) != 0) {
    progress_.fetch_add(1);
    futex_wake(progress_, INT32_MAX);
  }
}

void Ring::wait_reached(uint64_t position) {
  if (spin([&] { return reached(position); })) return;
  waiters_.fetch_add(1);
  for (;;) {
    const uint32_t seen = progress_.load();
    if (head_.load(std::memory_order_seq_cst) >= position) break;
    futex_wait(progress_, seen);
  }
  waiters_.fetch_sub(1);
}

void Ring::stop() {
  stop_.store(true, std::memory_order_seq_cst);
  sleeping_.store(0);
  futex_wake(sleeping_, 1);
}

}  // namespace torch_npu::launch
