#include "device/event.h"

#include <c10/util/Exception.h>

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "cann/cann.h"
#include "device/runtime.h"
#include "launch/queue.h"

namespace torch_npu {

struct EventState {
  EventState(aclrtEvent handle, c10::DeviceIndex device, bool imported) : handle(handle), device(device), records(imported), issued(imported) {}

  const aclrtEvent handle;
  const c10::DeviceIndex device;
  std::atomic<uint64_t> records;  // asked for; an imported event counts as recorded by its owner
  std::atomic<uint64_t> issued;   // handed to CANN by the queue
  std::atomic<int> references{1};
};

namespace {

// Destroying an event that the device has yet to reach is not allowed: such wait here for a later destruction. Used from
// whichever thread drops the last reference.
class Graveyard {
 public:
  void bury(EventState* state) noexcept {
    std::lock_guard lock(mutex_);
    waiting_.push_back(state);
    size_t kept = 0;
    for (EventState* s : waiting_) {
      if (!destroy(s)) waiting_[kept++] = s;
    }
    waiting_.resize(kept);
  }

 private:
  static bool destroy(EventState* state) noexcept {
    try {
      // Gone with its device.
      if (is_initialized()) {
        const DeviceSwitch scope(state->device);
        aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_COMPLETE;
        if (state->issued.load() != 0 && cann::aclrtQueryEventStatus(state->handle, &status) == 0 &&
            status != ACL_EVENT_RECORDED_STATUS_COMPLETE) {
          return false;
        }
        cann::aclrtDestroyEvent(state->handle);
      }
    } catch (...) {
      // A destructor may be waiting for us; the device is reset at exit.
    }
    delete state;
    return true;
  }

  std::mutex mutex_;
  std::vector<EventState*> waiting_;
};

Graveyard& graveyard() {
  static auto* instance = new Graveyard;  // leaked: events die until the process is gone
  return *instance;
}

EventState* retain(EventState* state) noexcept {
  state->references.fetch_add(1, std::memory_order_relaxed);
  return state;
}

void drop(EventState* state) noexcept {
  if (is_in_bad_fork()) return;  // the parent's
  if (state != nullptr && state->references.fetch_sub(1, std::memory_order_acq_rel) == 1) graveyard().bury(state);
}

// What a queue record holds of the event while its call is made, also if that raises.
struct Issuing {
  EventState* state;
  bool record;
  ~Issuing() {
    if (record) state->issued.fetch_add(1, std::memory_order_release);
    drop(state);
  }
};

void check_stream(c10::Stream stream) {
  TORCH_CHECK(stream.device_type() == c10::kPrivateUse1, "Expected a stream of an npu device, got one of ", stream.device());
}

bool issued(const EventState& s) { return s.issued.load(std::memory_order_acquire) == s.records.load(std::memory_order_relaxed); }

}  // namespace

NPUEvent::~NPUEvent() { drop(state_); }

NPUEvent::NPUEvent(NPUEvent&& other) noexcept : state_(std::exchange(other.state_, nullptr)), flags_(other.flags_) {}

NPUEvent& NPUEvent::operator=(NPUEvent&& other) noexcept {
  std::swap(state_, other.state_);
  std::swap(flags_, other.flags_);
  return *this;
}

c10::DeviceIndex NPUEvent::device_index() const noexcept { return state_ != nullptr ? state_->device : c10::DeviceIndex{-1}; }

aclrtEvent NPUEvent::handle() const noexcept { return state_ != nullptr ? state_->handle : nullptr; }

void NPUEvent::create(c10::DeviceIndex device) {
  const DeviceSwitch scope(device);
  uint32_t flag = ACL_EVENT_SYNC;
  if (flags_ & kTiming) flag |= ACL_EVENT_TIME_LINE;
  if (flags_ & kInterprocess) flag |= ACL_EVENT_IPC;
  aclrtEvent handle = nullptr;
  if (cann::aclrtCreateEventExWithFlag.available()) {
    NPU_CHECK(cann::aclrtCreateEventExWithFlag(&handle, flag));
  } else {
    NPU_CHECK(cann::aclrtCreateEventWithFlag(&handle, flag));
  }
  state_ = new EventState(handle, device, false);
}

NPUEvent NPUEvent::from_ipc_handle(c10::DeviceIndex device, const aclrtIpcEventHandle& ipc) {
  const DeviceSwitch scope(device);
  aclrtEvent handle = nullptr;
  NPU_CHECK(cann::aclrtIpcOpenEventHandle(ipc, &handle));
  NPUEvent event(kInterprocess);
  event.state_ = new EventState(handle, device, true);
  return event;
}

aclrtIpcEventHandle NPUEvent::ipc_handle(c10::DeviceIndex device) {
  TORCH_CHECK(flags_ & kInterprocess, "The event was not created with interprocess=True, so other processes cannot use it.");
  if (state_ == nullptr) create(device);
  const DeviceSwitch scope(state_->device);
  aclrtIpcEventHandle ipc{};
  NPU_CHECK(cann::aclrtIpcGetEventHandle(state_->handle, &ipc));
  return ipc;
}

template <class F>
void NPUEvent::record(c10::Stream stream, F call) {
  check_stream(stream);
  const c10::DeviceIndex device = stream.device_index();
  aclrtStream on = stream_handle(stream);
  if (state_ == nullptr) create(device);
  TORCH_CHECK(state_->device == device, "Event device npu:", static_cast<int>(state_->device),
              " does not match recording stream's device npu:", static_cast<int>(device), ".");
  launch::raise_pending(device);
  state_->records.fetch_add(1, std::memory_order_relaxed);
  launch::push(device, "aclrtRecordEvent", [state = retain(state_), on, call] {
    const Issuing hold{state, true};
    call(state->handle, on);
  });
}

void NPUEvent::record(c10::Stream stream) {
  record(stream, [](aclrtEvent event, aclrtStream on) { NPU_CHECK(cann::aclrtRecordEvent(event, on)); });
}

void NPUEvent::record_end(c10::Stream stream) {
  if (!is_external(stream)) return record(stream);
  record(stream, [](aclrtEvent event, aclrtStream on) {
    // What CANN answers for a stream that is gone, and for one of a context that is not current, whose work goes on.
    const auto refused = [](int code) { return code == ACL_ERROR_RT_PARAM_INVALID || code == ACL_ERROR_RT_STREAM_CONTEXT; };
    const int code = cann::aclrtRecordEvent(event, on);
    if (!refused(code)) return cann::check(code, "aclrtRecordEvent");
    if (const int end = cann::aclrtSynchronizeStream(on); !refused(end)) cann::check(end, "aclrtSynchronizeStream");
    NPU_CHECK(cann::aclrtRecordEvent(event, nullptr));
  });
}

void NPUEvent::block(c10::Stream stream) const {
  check_stream(stream);
  if (state_ == nullptr || state_->records.load() == 0) return;
  const c10::DeviceIndex device = stream.device_index();
  aclrtStream on = stream_handle(stream);
  // Each device has a queue: the record must have left its own before the wait enters another.
  if (device != state_->device && !issued(*state_)) launch::drain(state_->device);
  launch::raise_pending(device);
  launch::push(device, "aclrtStreamWaitEvent", [state = retain(state_), on] {
    const Issuing hold{state, false};
    NPU_CHECK(cann::aclrtStreamWaitEvent(on, state->handle));
  });
}

bool NPUEvent::query() const {
  if (state_ == nullptr || state_->records.load() == 0) return true;
  launch::raise_pending(state_->device);
  if (!issued(*state_)) return false;
  const DeviceSwitch scope(state_->device);
  aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_NOT_READY;
  const int code = cann::aclrtQueryEventStatus(state_->handle, &status);
  if (C10_UNLIKELY(code != 0)) raise_asynchronous(code, "aclrtQueryEventStatus", state_->device);
  return status == ACL_EVENT_RECORDED_STATUS_COMPLETE;
}

void NPUEvent::synchronize() const {
  if (state_ == nullptr || state_->records.load() == 0) return;
  launch::raise_pending(state_->device);
  if (!issued(*state_)) launch::drain(state_->device);
  const DeviceSwitch scope(state_->device);
  const int code = cann::aclrtSynchronizeEvent(state_->handle);
  if (C10_UNLIKELY(code != 0)) raise_asynchronous(code, "aclrtSynchronizeEvent", state_->device);
}

double NPUEvent::elapsed_time(const NPUEvent& end) const {
  TORCH_CHECK_VALUE((flags_ & kTiming) && (end.flags_ & kTiming), "Both events must be created with argument 'enable_timing=True'.");
  TORCH_CHECK_VALUE(state_ != nullptr && end.state_ != nullptr, "Both events must be recorded before calculating elapsed time.");
  TORCH_CHECK(query() && end.query(), "Both events must be completed before calculating elapsed time.");
  const DeviceSwitch scope(state_->device);
  float ms = 0;
  NPU_CHECK(cann::aclrtEventElapsedTime(&ms, state_->handle, end.state_->handle));
  return ms;
}

uint64_t NPUEvent::recorded_time() const {
  TORCH_CHECK_VALUE(flags_ & kTiming, "The event must be created with argument 'enable_timing=True'.");
  TORCH_CHECK_VALUE(state_ != nullptr && state_->records.load() != 0, "The event must be recorded before its time can be asked for.");
  synchronize();
  const DeviceSwitch scope(state_->device);
  uint64_t us = 0;
  NPU_CHECK(cann::aclrtEventGetTimestamp(state_->handle, &us));
  return us;
}

void NPUEvent::reset() {
  TORCH_CHECK(!(flags_ & kInterprocess), "An event that other processes use cannot be reset: they would go on with the old one.");
  drop(std::exchange(state_, nullptr));
}

}  // namespace torch_npu
