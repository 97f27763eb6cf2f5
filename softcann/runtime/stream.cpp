#include "softcann/runtime/device.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <utility>

#include "softcann/api_ascendcl.h"

namespace softcann::runtime {
namespace {

std::atomic<int32_t> next_id{0};
constexpr int kSpins = 200;  // looks at the queue before a worker sleeps: a few microseconds

}  // namespace

Stream::Stream(Context* c, uint32_t p, uint32_t f)
    : context(c), device(c->device), id(next_id++), priority(p), flags(f), random_(config().seed * 2654435761u + static_cast<uint64_t>(id)) {}

Stream::~Stream() {
  abort();
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

int Stream::enqueue(const Task& task) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  tasks_.push_back(task);
  ++given_;
  if (sleeping_) wake_.notify_one();
  return ACL_SUCCESS;
}

bool Stream::idle() {
  std::lock_guard lock(mutex_);
  return given_ == finished_;
}

int Stream::synchronize(int64_t timeout_ms, const char* function) {
  std::unique_lock lock(mutex_);
  const uint64_t target = given_;
  const auto reached = [&] { return finished_ >= target; };
  if (timeout_ms < 0) {
    done_.wait(lock, reached);
  } else if (!done_.wait_for(lock, std::chrono::milliseconds(timeout_ms), reached)) {
    return fail(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT, "%s: stream %d was not through after %lld ms: %llu tasks are left", function, id,
                static_cast<long long>(timeout_ms), static_cast<unsigned long long>(given_ - finished_));
  }
  if (error_ == 0) return ACL_SUCCESS;
  restore_error(std::exchange(error_message_, {}));
  return std::exchange(error_, 0);
}

void Stream::abort() {
  std::deque<Task> dropped;
  {
    std::unique_lock lock(mutex_);
    dropped.swap(tasks_);
    finished_ += dropped.size();
    done_.notify_all();
    const uint64_t target = given_;
    done_.wait(lock, [&] { return finished_ >= target; });
    error_ = 0;
    error_message_.clear();
  }
  for (const Task& task : dropped) task.drop(task.state);
}

void Stream::work() {
  pthread_setname_np(pthread_self(), ("soft" + std::to_string(device) + "_s" + std::to_string(id)).c_str());
  Registry::get().set_current(context);
  std::unique_lock lock(mutex_);
  for (;;) {
    for (int i = 0; tasks_.empty() && !stop_ && i < kSpins; ++i) {
      lock.unlock();
      sched_yield();
      lock.lock();
    }
    if (tasks_.empty() && !stop_) {
      sleeping_ = true;
      wake_.wait(lock, [this] { return !tasks_.empty() || stop_; });
      sleeping_ = false;
    }
    if (tasks_.empty()) return;
    const Task task = tasks_.front();
    tasks_.pop_front();
    lock.unlock();
    if (config().schedule) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      std::this_thread::sleep_for(std::chrono::microseconds((random_ >> 33) % 300));
    }
    const int status = task.run(task.state);
    std::string message = status != 0 ? take_error() : std::string();
    task.drop(task.state);
    lock.lock();
    if (status != 0 && error_ == 0) {
      error_ = status;
      error_message_ = std::move(message);
    }
    ++finished_;
    done_.notify_all();
  }
}

int enqueue(aclrtStream handle, const Task& task) {
  int status = ACL_SUCCESS;
  Stream* stream = Registry::get().stream(handle, task.name, &status);
  if (stream == nullptr) {
    task.drop(task.state);
    return status;
  }
  return stream->enqueue(task);
}

int device_of(aclrtStream handle) {
  int status = ACL_SUCCESS;
  Stream* stream = Registry::get().stream(handle, "stream", &status);
  return stream == nullptr ? -1 : stream->device;
}

}  // namespace softcann::runtime

namespace softcann {
using runtime::Registry;
using runtime::Stream;

namespace {

aclError create(aclrtStream* out, uint32_t priority, uint32_t flag, const char* function) {
  if (out == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: stream is null", function);
  runtime::Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail(function, &context)) return status;
  *out = Registry::get().create_stream(context, priority, flag);
  return ACL_SUCCESS;
}

// Runs f(stream) for a live stream.
template <class F>
aclError with(aclrtStream handle, const char* function, F f) {
  int status = ACL_SUCCESS;
  Stream* stream = Registry::get().stream(handle, function, &status);
  return stream == nullptr ? status : f(*stream);
}

}  // namespace

aclError api::aclrtCreateStream(aclrtStream* stream) { return create(stream, 0, 0, "aclrtCreateStream"); }
aclError api::aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t priority, uint32_t flag) {
  return create(stream, priority, flag, "aclrtCreateStreamWithConfig");
}
aclError api::aclrtDestroyStream(aclrtStream stream) {
  return Registry::get().destroy_stream(static_cast<Stream*>(stream), false, "aclrtDestroyStream");
}
aclError api::aclrtDestroyStreamForce(aclrtStream stream) {
  return Registry::get().destroy_stream(static_cast<Stream*>(stream), true, "aclrtDestroyStreamForce");
}
aclError api::aclrtSynchronizeStream(aclrtStream stream) {
  return with(stream, "aclrtSynchronizeStream", [](Stream& s) { return s.synchronize(-1, "aclrtSynchronizeStream"); });
}
aclError api::aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
  return with(stream, "aclrtSynchronizeStreamWithTimeout", [=](Stream& s) { return s.synchronize(timeout, "aclrtSynchronizeStreamWithTimeout"); });
}
aclError api::aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  if (status == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtStreamQuery: status is null");
  return with(stream, "aclrtStreamQuery", [=](Stream& s) {
    *status = s.idle() ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY;
    return ACL_SUCCESS;
  });
}
aclError api::aclrtStreamAbort(aclrtStream stream) {
  return with(stream, "aclrtStreamAbort", [](Stream& s) { return s.abort(), ACL_SUCCESS; });
}
aclError api::aclrtStreamGetId(aclrtStream stream, int32_t* streamId) {
  if (streamId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtStreamGetId: streamId is null");
  return with(stream, "aclrtStreamGetId", [=](Stream& s) { return *streamId = s.id, ACL_SUCCESS; });
}
aclError api::aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode) {
  return with(stream, "aclrtSetStreamFailureMode", [=](Stream& s) { return s.failure_mode = mode, ACL_SUCCESS; });
}
aclError api::aclrtStreamGetPriority(aclrtStream stream, uint32_t* priority) {
  if (priority == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtStreamGetPriority: priority is null");
  return with(stream, "aclrtStreamGetPriority", [=](Stream& s) { return *priority = s.priority, ACL_SUCCESS; });
}
aclError api::aclrtStreamGetFlags(aclrtStream stream, uint32_t* flags) {
  if (flags == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtStreamGetFlags: flags is null");
  return with(stream, "aclrtStreamGetFlags", [=](Stream& s) { return *flags = s.flags, ACL_SUCCESS; });
}
aclError api::aclrtCtxGetCurrentDefaultStream(aclrtStream* stream) {
  if (stream == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtCtxGetCurrentDefaultStream: stream is null");
  return with(nullptr, "aclrtCtxGetCurrentDefaultStream", [=](Stream& s) { return *stream = &s, ACL_SUCCESS; });
}
aclError api::aclrtDeviceGetStreamPriorityRange(int32_t* leastPriority, int32_t* greatestPriority) {
  if (leastPriority != nullptr) *leastPriority = 7;
  if (greatestPriority != nullptr) *greatestPriority = 0;
  return ACL_SUCCESS;
}

}  // namespace softcann
