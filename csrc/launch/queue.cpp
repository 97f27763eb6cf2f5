#include "launch/queue.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "device/runtime.h"
#include "device/stream.h"
#include "launch/config.h"
#include "launch/ring.h"
#include "launch/stacks.h"

namespace torch_npu::launch {
namespace {

// What stands in the ring: the header, then the body; a body too large for the ring is on the heap.
struct Header {
  Action action;
  const char* name;
  void* heap;
};

// Devices whose calls the thread makes itself: one bit each; all of them on a consumer.
thread_local uint64_t direct_devices = 0;
constexpr uint64_t kAllDevices = ~uint64_t{0};

bool on_consumer() { return direct_devices == kAllDevices; }

void copy(void* to, std::initializer_list<Span> body) {
  auto* p = static_cast<std::byte*>(to);
  for (const Span& span : body) {
    std::memcpy(p, span.data, span.bytes);
    p += span.bytes;
  }
}

class DeviceQueue {
 public:
  explicit DeviceQueue(c10::DeviceIndex device) : device_(device) {}

  void push(const char* name, Action action, std::initializer_list<Span> body) {
    if (C10_UNLIKELY(!started_.load(std::memory_order_acquire))) start();
    size_t bytes = 0;
    for (const Span& span : body) bytes += span.bytes;
    bytes = (bytes + 7) & ~size_t{7};
    const bool large = bytes + sizeof(Header) > Ring::kMaxRecord;
    void* heap = large ? ::operator new(bytes) : nullptr;
    auto* header = static_cast<Header*>(ring_.reserve(sizeof(Header) + (large ? 0 : bytes)));
    *header = {action, name, heap};
    copy(large ? heap : header + 1, body);
    ring_.publish();
  }

  void drain() {
    if (!started_.load(std::memory_order_acquire)) return;
    const uint64_t position = ring_.published();
    if (!ring_.reached(position)) ring_.wait_reached(position);
  }

  void raise_pending() {
    if (C10_LIKELY(!failed_.load(std::memory_order_acquire))) return;
    std::exception_ptr error;
    uint64_t stack = 0;
    {
      std::lock_guard lock(mutex_);
      TORCH_CHECK(!stopped_, "npu:", static_cast<int>(device_), " was stopped by torch.npu.stop_device(", static_cast<int>(device_),
                  "); torch.npu.restart_device(", static_cast<int>(device_), ") makes it usable again.");
      error = std::exchange(error_, nullptr);
      stack = std::exchange(error_stack_, 0);
      failed_.store(false, std::memory_order_release);
    }
    if (error == nullptr) return;
    try {
      std::rethrow_exception(error);
    } catch (c10::Error& e) {
      // Printing it may take the GIL, which the consumer never does.
      if (std::string text = describe_stack(stack); !text.empty()) e.add_context(std::move(text));
      throw;
    }
  }

  void stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    failed_.store(true, std::memory_order_release);
  }

  void restart() {
    std::lock_guard lock(mutex_);
    stopped_ = false;
    error_ = nullptr;
    error_stack_ = 0;
    failed_.store(false, std::memory_order_release);
  }

  void shutdown() noexcept {
    if (!started_.load()) return;
    ring_.stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void start() {
    std::lock_guard lock(mutex_);
    if (started_.load(std::memory_order_relaxed)) return;
    thread_ = std::thread([this] { consume(); });
    started_.store(true, std::memory_order_release);
  }

  void consume() {
    direct_devices = kAllDevices;
    pthread_setname_np(pthread_self(), ("npu" + std::to_string(device_) + "_queue").c_str());
    guarded("aclrtSetDevice", [&] { set_device(device_); });
    while (void* record = ring_.next()) {
      auto* header = static_cast<Header*>(record);
      guarded(header->name, [&] { header->action(header->heap ? header->heap : header + 1); });
      ::operator delete(header->heap);
      ring_.release();
    }
  }

  template <class F>
  void guarded(const char* name, F f) noexcept {
    try {
      f();
      return;
    } catch (c10::Error& e) {
      e.add_context(std::string("raised by the asynchronous call ") + name);
      keep(std::current_exception());
    } catch (...) {
      keep(std::current_exception());
    }
  }

  // The first error is the cause; what follows it is usually a consequence.
  void keep(std::exception_ptr error) {
    std::lock_guard lock(mutex_);
    const uint64_t stack = take_failed_stack();
    if (!error_) {
      error_ = std::move(error);
      error_stack_ = stack;
    }
    failed_.store(true, std::memory_order_release);
  }

  const c10::DeviceIndex device_;
  Ring ring_;
  std::atomic<bool> started_{false};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  bool stopped_ = false;
  std::exception_ptr error_;
  uint64_t error_stack_ = 0;
  std::thread thread_;
};

constexpr int kMaxDevices = 64;
std::array<std::atomic<DeviceQueue*>, kMaxDevices> queues;
std::mutex queues_mutex;
std::atomic<bool> shut_down{false};

std::atomic<int>& mode() {
  static std::atomic<int> mode{config().task_queue};
  return mode;
}

// Leaked on purpose: destructors of static tensors may still push while the process exits.
DeviceQueue& queue_of(c10::DeviceIndex device) {
  auto& slot = queues[device];
  if (auto* q = slot.load(std::memory_order_acquire); C10_LIKELY(q != nullptr)) return *q;
  std::lock_guard lock(queues_mutex);
  if (slot.load() == nullptr) slot.store(new DeviceQueue(device), std::memory_order_release);
  return *slot.load();
}

DeviceQueue* existing_queue(c10::DeviceIndex device) {
  return device >= 0 && device < kMaxDevices ? queues[device].load(std::memory_order_acquire) : nullptr;
}

// The child of a process that had consumer threads has none: its calls run where they are made, and CANN refuses them with a sentence.
const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
  for (const auto& slot : queues) {
    if (slot.load() != nullptr) shut_down.store(true);
  }
});

// A record on the calling thread, which may be working on another device.
void run_here(c10::DeviceIndex device, Action action, void* body) {
  if (C10_LIKELY(on_consumer() || device == peek_device())) return action(body);
  const DeviceSwitch scope(device);
  action(body);
}

}  // namespace

void push(c10::DeviceIndex device, const char* name, Action action, std::initializer_list<Span> body) {
  if (C10_UNLIKELY((direct_devices >> device & 1) != 0 || mode().load(std::memory_order_relaxed) == 0 ||
                   shut_down.load(std::memory_order_relaxed))) {
    drain_nothrow(device);  // behind what was queued before the thread, or the process, began to call directly
    if (body.size() == 1) return run_here(device, action, const_cast<void*>(body.begin()->data));
    size_t bytes = 0;
    for (const Span& span : body) bytes += span.bytes;
    const std::unique_ptr<uint64_t[]> joined(new uint64_t[bytes / 8 + 1]);
    copy(joined.get(), body);
    return run_here(device, action, joined.get());
  }
  queue_of(device).push(name, action, body);
}

int task_queue() { return mode().load(std::memory_order_relaxed); }

void set_task_queue(int value) {
  TORCH_CHECK_VALUE(value >= 0 && value <= 2, "The task queue's mode is 0 (off), 1 or 2, got ", value);
  mode().store(config().blocking ? 0 : value);
}

void launch_directly(c10::DeviceIndex device, bool directly) noexcept {
  if (on_consumer()) return;
  const uint64_t bit = uint64_t{1} << device;
  direct_devices = directly ? direct_devices | bit : direct_devices & ~bit;
}

void stop(c10::DeviceIndex device) { queue_of(device).stop(); }

void restart(c10::DeviceIndex device) { queue_of(device).restart(); }

void raise_pending(c10::DeviceIndex device) {
  if (auto* queue = existing_queue(device)) queue->raise_pending();
}

void drain(c10::DeviceIndex device) {
  auto* queue = existing_queue(device);
  if (queue == nullptr || on_consumer() || shut_down.load(std::memory_order_relaxed)) return;
  queue->drain();
  queue->raise_pending();
}

void drain_nothrow(c10::DeviceIndex device) noexcept {
  auto* queue = existing_queue(device);
  if (queue != nullptr && !on_consumer() && !shut_down.load(std::memory_order_relaxed)) queue->drain();
}

void shutdown() noexcept {
  if (shut_down.exchange(true)) return;
  for (auto& slot : queues) {
    if (auto* queue = slot.load()) queue->shutdown();
  }
}

}  // namespace torch_npu::launch
