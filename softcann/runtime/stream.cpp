#include "softcann/runtime/stream.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"
#include "softcann/runtime/config.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/fault_handler.h"

namespace softcann::runtime {
namespace {

using StreamSlots = Slots<Stream, 65536>;

StreamSlots& streams() {
  static auto* slots = new StreamSlots;
  return *slots;
}

thread_local Stream* own_stream = nullptr;

// More tasks than this make the producer wait, as a full hardware queue does.
constexpr uint64_t kMostTasks = 65536;
// How long a worker looks at its queue before it sleeps: about two microseconds, then a few turns of the scheduler.
constexpr int kPauses = 100, kYields = 3;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

// Looks a little while for `ready`, cheaper than sleeping when the wait is short.
template <class F>
bool spin(F ready) {
  for (int i = 0; i < kPauses; ++i) {
    if (ready()) return true;
    pause_cpu();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready()) return true;
    sched_yield();
  }
  return ready();
}

// What a kernel throws is its failure.
int run_guarded(const Task& task) {
  try {
    return task.run(task.state);
  } catch (const std::exception& e) {
    return fail(ACL_ERROR_RT_AICORE_EXCEPTION, "%s: %s", task.name, e.what());
  }
}

// At exit no worker may be inside a kernel while libraries below it are torn down.
void quiet_at_exit() {
  if (in_forked_child()) return;
  const Deadline deadline = Clock::now() + std::chrono::seconds(2);
  streams().for_each_live([](Stream& s) { s.abort(0); });
  streams().for_each_live([&](Stream& s) {
    if (&s != own_stream) Stream::wait(s.mark(), deadline);
  });
}

}  // namespace

Deadline deadline_after(int64_t timeout_ms) {
  return timeout_ms < 0 ? kNever : Clock::now() + std::chrono::milliseconds(timeout_ms);
}

Stream* Stream::create(Context* context, int device, uint32_t priority, uint32_t flags) {
  static std::atomic<int32_t> next_id{0};
  Stream* stream = streams().take();
  if (stream == nullptr) return nullptr;
  stream->context_ = context;
  stream->device_ = device;
  stream->id_ = next_id.fetch_add(1, std::memory_order_relaxed);
  stream->flags = flags;
  stream->priority = priority;
  stream->failure_mode = ACL_CONTINUE_ON_FAILURE;
  stream->overflow_switch = 0;
  stream->custom_tag = 0;
  stream->cache_op_info = 0;
  for (auto& limit : stream->core_limits) limit = 0;
  stream->random_ = (config().seed + 1) * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(stream->id_) * 0xbf58476d1ce4e5b9ULL;
  stream->live.store(true, std::memory_order_release);
  return stream;
}

Stream* Stream::find(const void* handle) { return streams().get(handle); }

bool Stream::start() {
  static const int registered = std::atexit(&quiet_at_exit);
  static_cast<void>(registered);
  if (head_ == nullptr) head_ = tail_ = new Chunk{};
  // Signals are the client's threads' business, faults are everybody's.
  sigset_t mask, before;
  sigfillset(&mask);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&mask, signal);
  pthread_sigmask(SIG_SETMASK, &mask, &before);
  stop_.store(false, std::memory_order_relaxed);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::exception&) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread_.joinable();
}

void Stream::make_room() {
  if (__builtin_expect(given_.load(std::memory_order_relaxed) - finished_.load(std::memory_order_relaxed) >= kMostTasks, 0) &&
      own_stream == nullptr) {
    wait({this, given() - kMostTasks / 2}, kNever);
  }
}

int Stream::push(const Task& task, Mark* mark) {
  {
    std::lock_guard<std::mutex> lock(push_mutex_);
    if (__builtin_expect(!thread_.joinable(), 0) && !start()) {
      task.drop(task.state);
      return fail(ACL_ERROR_RT_NO_STREAM_RESOURCE, "%s: the system does not start another thread for stream %d", task.name, id_);
    }
    if (tail_used_ == kChunk) {
      Chunk* chunk = spare_.exchange(nullptr, std::memory_order_acquire);
      if (chunk == nullptr) chunk = new Chunk{};
      tail_->next = chunk;
      tail_ = chunk;
      tail_used_ = 0;
    }
    tail_->tasks[tail_used_++] = task;
    const uint64_t count = given_.load(std::memory_order_relaxed) + 1;
    if (mark != nullptr) *mark = {this, count};
    given_.store(count, std::memory_order_seq_cst);
  }
  if (asleep_.load(std::memory_order_seq_cst) != 0 && asleep_.exchange(0) != 0) futex_wake(asleep_);
  return ACL_SUCCESS;
}

// Until there is a task beyond `done`; false when the stream ends.
bool Stream::rest(uint64_t done) {
  const auto ready = [&] { return given_.load(std::memory_order_seq_cst) != done; };
  for (;;) {
    if (spin(ready)) return true;
    asleep_.store(1, std::memory_order_seq_cst);
    if (ready()) {
      asleep_.store(0, std::memory_order_relaxed);
      return true;
    }
    if (stop_.load(std::memory_order_seq_cst)) {
      asleep_.store(0, std::memory_order_relaxed);
      return false;
    }
    while (asleep_.load(std::memory_order_seq_cst) == 1 && !ready()) futex_wait(asleep_, 1);
    asleep_.store(0, std::memory_order_relaxed);
  }
}

void Stream::work() {
  own_stream = this;
  char name[16];
  snprintf(name, sizeof(name), "npu%d_stream%d", device_, id_);
  pthread_setname_np(pthread_self(), name);
  set_current_context(context_);
  install_alternate_stack();
  for (;;) {
    const uint64_t done = finished_.load(std::memory_order_relaxed);
    if (given_.load(std::memory_order_acquire) == done && !rest(done)) return;
    if (head_used_ == kChunk) {
      Chunk* drained = head_;
      head_ = head_->next;
      head_used_ = 0;
      drained->next = nullptr;
      Chunk* none = nullptr;
      if (!spare_.compare_exchange_strong(none, drained, std::memory_order_release, std::memory_order_relaxed)) delete drained;
    }
    run(head_->tasks[head_used_++], done + 1);
    finished_.store(done + 1, std::memory_order_seq_cst);
    if (waiters_.load(std::memory_order_seq_cst) != 0) wake_waiters();
  }
}

void Stream::run(const Task& task, uint64_t number) {
  if (config().schedule) {
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    const uint64_t draw = random_ >> 33;
    if (draw % 4 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(draw / 4 % 500));
    } else if (draw % 4 == 1) {
      sched_yield();
    }
  }
  const bool stopped = failed_.load(std::memory_order_relaxed) && failure_mode.load(std::memory_order_relaxed) == ACL_STOP_ON_FAILURE;
  if (!stopped && number > abort_below_.load(std::memory_order_acquire)) {
    const int code = run_guarded(task);
    // A failure of a task that was told to give up is no failure.
    if (code != ACL_SUCCESS && number > abort_below_.load(std::memory_order_acquire)) {
      std::lock_guard<std::mutex> lock(failure_mutex_);
      if (failure_code_ == 0) {
        failure_code_ = code;
        failure_number_ = number;
        failure_message_ = take_error();
        failed_.store(true, std::memory_order_relaxed);
      }
    }
  }
  task.drop(task.state);
}

void Stream::wake_waiters() {
  std::lock_guard<std::mutex> lock(done_mutex_);
  done_.notify_all();
}

bool Stream::wait(const Mark& mark, Deadline deadline) {
  Stream* const self = own_stream;
  const auto ready = [&] { return mark.passed() || (self != nullptr && self->aborted()); };
  if (spin(ready)) return true;
  Stream& target = *mark.stream;
  if (self != nullptr) self->blocked_on_.store(&target, std::memory_order_seq_cst);
  target.waiters_.fetch_add(1, std::memory_order_seq_cst);
  bool passed = true;
  {
    std::unique_lock<std::mutex> lock(target.done_mutex_);
    if (deadline == kNever) {
      target.done_.wait(lock, ready);
    } else {
      passed = target.done_.wait_until(lock, deadline, ready);
    }
  }
  target.waiters_.fetch_sub(1, std::memory_order_seq_cst);
  if (self != nullptr) self->blocked_on_.store(nullptr, std::memory_order_seq_cst);
  return passed;
}

int Stream::take_failure(uint64_t count) {
  if (!failed_.load(std::memory_order_relaxed)) return ACL_SUCCESS;
  std::lock_guard<std::mutex> lock(failure_mutex_);
  if (failure_code_ == 0 || failure_number_ > count) return ACL_SUCCESS;
  restore_error(std::move(failure_message_));
  failure_message_.clear();
  failed_.store(false, std::memory_order_relaxed);
  set_recent_code(failure_code_);
  return std::exchange(failure_code_, 0);
}

void Stream::forget_failure() {
  std::lock_guard<std::mutex> lock(failure_mutex_);
  failure_code_ = 0;
  failure_message_.clear();
  failed_.store(false, std::memory_order_relaxed);
}

int Stream::synchronize(Deadline deadline, int64_t timeout_ms, const char* function) {
  if (own_stream == this) {
    return fail(ACL_ERROR_RT_STREAM_CONTEXT, "%s: called from a task of stream %d itself, which would wait for ever", function, id_);
  }
  const Mark target = mark();
  const uint64_t aborted_before = abort_below_.load(std::memory_order_acquire);
  if (!wait(target, deadline)) {
    return fail(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT, "%s: stream %d of device %d is not through after %lld ms, %llu tasks are left", function,
                id_, device_, static_cast<long long>(timeout_ms), static_cast<unsigned long long>(target.count - finished()));
  }
  const uint64_t aborted_after = abort_below_.load(std::memory_order_acquire);
  if (aborted_after > aborted_before) {
    return fail(ACL_ERROR_RT_STREAM_ABORT, "%s: stream %d of device %d was aborted while this call waited for it", function, id_, device_);
  }
  return take_failure(target.count);
}

bool Stream::abort(int64_t timeout_ms) {
  const Mark target = mark();
  uint64_t below = abort_below_.load(std::memory_order_relaxed);
  while (!target.passed() && below < target.count &&
         !abort_below_.compare_exchange_weak(below, target.count, std::memory_order_seq_cst)) {
  }
  if (Stream* other = blocked_on_.load(std::memory_order_seq_cst)) other->wake_waiters();
  const bool ended = own_stream == this || wait(target, deadline_after(timeout_ms));
  if (ended) forget_failure();
  return ended;
}

void Stream::retire() {
  wait(mark(), kNever);
  {
    std::lock_guard<std::mutex> lock(push_mutex_);
    stop_.store(true, std::memory_order_seq_cst);
    if (asleep_.exchange(0, std::memory_order_seq_cst) != 0) futex_wake(asleep_);
    if (thread_.joinable()) thread_.join();
    delete spare_.exchange(nullptr, std::memory_order_acquire);
    delete head_;
    head_ = tail_ = nullptr;
    head_used_ = tail_used_ = 0;
  }
  forget_failure();
  streams().give(this);
}

bool Stream::is_own() const { return own_stream == this; }

Stream* find_stream(aclrtStream handle, const char* function, int* code) {
  if (handle == nullptr) {
    Context* context = nullptr;
    *code = require_context(function, &context);
    return *code == ACL_SUCCESS ? context->default_stream : nullptr;
  }
  if ((*code = check_fork(function)) != ACL_SUCCESS) return nullptr;
  if (Stream* stream = Stream::find(handle)) return stream;
  *code = fail(ACL_ERROR_RT_PARAM_INVALID, "%s: stream %p does not exist: it was destroyed, its device was reset, or it never was a stream",
               function, handle);
  return nullptr;
}

Stream* find_stream_of_context(aclrtStream handle, const char* function, int* code) {
  Context* context = nullptr;
  if ((*code = require_context(function, &context)) != ACL_SUCCESS) return nullptr;
  if (handle == nullptr) return context->default_stream;
  Stream* stream = find_stream(handle, function, code);
  if (stream == nullptr || __builtin_expect(stream->context() == context, 1)) return stream;
  *code = fail(ACL_ERROR_RT_STREAM_CONTEXT,
               "%s: stream %d belongs to %s of device %d, but the thread works in %s of device %d; call aclrtSetDevice or "
               "aclrtSetCurrentContext first", function, stream->id(),
               stream->device() == context->device ? "another context" : "a context", stream->device(),
               stream->device() == context->device ? "a context" : "one", context->device);
  return nullptr;
}

int enqueue(aclrtStream handle, const Task& task) {
  int code = ACL_SUCCESS;
  Stream* stream = find_stream_of_context(handle, task.name, &code);
  if (stream == nullptr) {
    task.drop(task.state);
    return code;
  }
  return stream->enqueue(task);
}

int device_of(aclrtStream handle) {
  int code = ACL_SUCCESS;
  Stream* stream = find_stream(handle, "stream", &code);
  return stream == nullptr ? -1 : stream->device();
}

bool on_stream_thread() { return own_stream != nullptr; }

bool task_aborted() { return own_stream != nullptr && own_stream->aborted(); }

}  // namespace softcann::runtime
