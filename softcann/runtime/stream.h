// A stream: tasks in order, on a thread of its own that starts with the first task.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "acl/acl.h"
#include "softcann/runtime/services.h"
#include "softcann/runtime/slots.h"

namespace softcann::runtime {

struct Context;
class Stream;

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
constexpr Deadline kNever = Deadline::max();

// The deadline of CANN's timeouts: milliseconds, negative = for ever.
Deadline deadline_after(int64_t timeout_ms);

// A place in a stream: the first `count` tasks ever given to it. Counts go on when a stream object is recycled, so that a
// mark in a destroyed stream stays passed.
struct Mark {
  Stream* stream = nullptr;
  uint64_t count = 0;
  bool passed() const;
};

class Stream : public SlotObject {
 public:
  // With lifecycle_mutex() held; nullptr if there are too many.
  static Stream* create(Context* context, int device, uint32_t priority, uint32_t flags);
  static Stream* find(const void* handle);  // nullptr unless live

  // Ends the thread after everything given has run, and recycles the object. `live` is false already.
  void retire();

  // Drops the task on failure. `mark`: where the task ends.
  int enqueue(const Task& task, Mark* mark = nullptr) {
    make_room();
    return push(task, mark);
  }
  // The two halves of it: waiting while too much is queued, which a lock that tasks take must not be held for, and the rest.
  void make_room();
  int push(const Task& task, Mark* mark = nullptr);

  bool idle() const { return finished_.load(std::memory_order_acquire) == given_.load(std::memory_order_acquire); }
  Mark mark() { return {this, given_.load(std::memory_order_acquire)}; }
  uint64_t finished() const { return finished_.load(std::memory_order_seq_cst); }
  uint64_t given() const { return given_.load(std::memory_order_acquire); }

  // Waits for a mark. False at the deadline. On a stream's thread also returns, true, once that stream is aborted.
  static bool wait(const Mark& mark, Deadline deadline);

  // Waits for everything given so far and reports the pending error of that, which clears it.
  int synchronize(Deadline deadline, int64_t timeout_ms, const char* function);
  // Reports and clears the pending error if it is of a task before `count`.
  int take_failure(uint64_t count);

  // Drops what has not started and makes waits inside the running task give up. False if that task did not end in time.
  bool abort(int64_t timeout_ms);
  bool aborted() const { return abort_below_.load(std::memory_order_seq_cst) > finished_.load(std::memory_order_relaxed); }

  bool is_own() const;  // the calling thread is this stream's
  Context* context() const { return context_; }
  int device() const { return device_; }
  int32_t id() const { return id_; }

  uint32_t flags = 0;
  std::atomic<uint32_t> priority{0};
  std::atomic<uint64_t> failure_mode{0};
  std::atomic<uint32_t> overflow_switch{0}, custom_tag{0}, cache_op_info{0};
  std::atomic<uint32_t> core_limits[2] = {};  // aclrtSetStreamResLimit, 0 = the device's

 private:
  static constexpr size_t kChunk = 256;
  struct Chunk {
    Task tasks[kChunk];
    Chunk* next;
  };

  bool start();
  void work();
  void run(const Task& task, uint64_t number);
  bool rest(uint64_t done);
  void wake_waiters();
  void forget_failure();

  Context* context_ = nullptr;
  int device_ = -1;
  int32_t id_ = -1;

  // Producers.
  std::mutex push_mutex_;
  Chunk* tail_ = nullptr;
  size_t tail_used_ = 0;
  std::thread thread_;

  // Shared between producers and the worker.
  alignas(64) std::atomic<uint64_t> given_{0};
  std::atomic<Chunk*> spare_{nullptr};
  std::atomic<uint32_t> asleep_{0};
  std::atomic<bool> stop_{false};

  // The worker's.
  alignas(64) std::atomic<uint64_t> finished_{0};
  Chunk* head_ = nullptr;
  size_t head_used_ = 0;
  uint64_t random_ = 0;

  // Who waits for the worker, and what stops it.
  std::atomic<uint32_t> waiters_{0};
  std::mutex done_mutex_;
  std::condition_variable done_;
  std::atomic<uint64_t> abort_below_{0};
  std::atomic<Stream*> blocked_on_{nullptr};

  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  int failure_code_ = 0;
  uint64_t failure_number_ = 0;
  std::string failure_message_;
};

inline bool Mark::passed() const { return stream == nullptr || stream->finished() >= count; }

// The stream behind a handle that a call names (nullptr: the default stream of the current context), or nullptr after
// fail(). enqueue-like calls need the stream's context to be current, as on the device.
Stream* find_stream(aclrtStream handle, const char* function, int* code);
Stream* find_stream_of_context(aclrtStream handle, const char* function, int* code);

// Enqueues a small trivially copyable callable `int f()`.
template <class F>
int enqueue_call(Stream& stream, const char* name, F f, Mark* mark = nullptr) {
  return stream.enqueue({[](void* p) { return (*static_cast<F*>(p))(); }, [](void* p) { delete static_cast<F*>(p); }, new F(f), name},
                        mark);
}

}  // namespace softcann::runtime
