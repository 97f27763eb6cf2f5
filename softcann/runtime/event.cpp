// Events: marks in streams. What a wait waits for is fixed when it is given: the newest record so far.
#include <condition_variable>
#include <map>
#include <memory>
#include <set>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/device.h"

namespace softcann::runtime {
namespace {

using Clock = std::chrono::steady_clock;

struct State {
  std::mutex mutex;
  std::condition_variable passed;
  uint64_t recorded = 0, completed = 0;
  Clock::time_point when{};
};

struct Event {
  std::shared_ptr<State> state = std::make_shared<State>();
  uint32_t flag;
};

std::mutex events_mutex;
std::set<Event*>& events() {
  static auto* all = new std::set<Event*>;
  return *all;
}

// The state of a live event, or null after fail().
std::shared_ptr<State> state_of(aclrtEvent event, const char* function) {
  std::lock_guard lock(events_mutex);
  auto* e = static_cast<Event*>(event);
  if (events().count(e) != 0) return e->state;
  fail(ACL_ERROR_RT_PARAM_INVALID, "%s: event %p does not exist", function, event);
  return nullptr;
}

struct Mark {
  std::shared_ptr<State> state;
  uint64_t number;
  int64_t timeout_ms;
};

int pass(void* p) {
  auto* mark = static_cast<Mark*>(p);
  std::lock_guard lock(mark->state->mutex);
  mark->state->completed = std::max(mark->state->completed, mark->number);
  mark->state->when = Clock::now();
  mark->state->passed.notify_all();
  return ACL_SUCCESS;
}

int wait(void* p) {
  auto* mark = static_cast<Mark*>(p);
  std::unique_lock lock(mark->state->mutex);
  const auto reached = [&] { return mark->state->completed >= mark->number; };
  if (mark->timeout_ms <= 0) {
    mark->state->passed.wait(lock, reached);
    return ACL_SUCCESS;
  }
  if (mark->state->passed.wait_for(lock, std::chrono::milliseconds(mark->timeout_ms), reached)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, "aclrtStreamWaitEvent: the event was not recorded within %lld ms", static_cast<long long>(mark->timeout_ms));
}

void drop_mark(void* p) {
  auto* mark = static_cast<Mark*>(p);
  // A record that was aborted must not leave its waiters behind.
  {
    std::lock_guard lock(mark->state->mutex);
    mark->state->completed = std::max(mark->state->completed, mark->number);
    mark->state->passed.notify_all();
  }
  delete mark;
}

void drop_wait(void* p) { delete static_cast<Mark*>(p); }

aclError create(aclrtEvent* event, uint32_t flag, const char* function) {
  if (event == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: event is null", function);
  Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail(function, &context)) return status;
  auto* e = new Event;
  e->flag = flag;
  std::lock_guard lock(events_mutex);
  events().insert(e);
  *event = e;
  return ACL_SUCCESS;
}

aclError synchronize(aclrtEvent event, int64_t timeout_ms, const char* function) {
  const auto state = state_of(event, function);
  if (!state) return ACL_ERROR_RT_PARAM_INVALID;
  std::unique_lock lock(state->mutex);
  const uint64_t target = state->recorded;
  const auto reached = [&] { return state->completed >= target; };
  if (timeout_ms < 0) {
    state->passed.wait(lock, reached);
  } else if (!state->passed.wait_for(lock, std::chrono::milliseconds(timeout_ms), reached)) {
    return fail(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, "%s: the event was not reached within %lld ms", function, static_cast<long long>(timeout_ms));
  }
  return ACL_SUCCESS;
}

aclError wait_event(aclrtStream stream, aclrtEvent event, int64_t timeout_ms, const char* function) {
  const auto state = state_of(event, function);
  if (!state) return ACL_ERROR_RT_PARAM_INVALID;
  uint64_t number;
  {
    std::lock_guard lock(state->mutex);
    number = state->recorded;
    if (state->completed >= number) return ACL_SUCCESS;
  }
  return enqueue(stream, {&wait, &drop_wait, new Mark{state, number, timeout_ms}, function});
}

}  // namespace
}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

aclError api::aclrtCreateEvent(aclrtEvent* event) { return create(event, ACL_EVENT_TIME_LINE | ACL_EVENT_SYNC, "aclrtCreateEvent"); }
aclError api::aclrtCreateEventWithFlag(aclrtEvent* event, uint32_t flag) { return create(event, flag, "aclrtCreateEventWithFlag"); }
aclError api::aclrtCreateEventExWithFlag(aclrtEvent* event, uint32_t flag) { return create(event, flag, "aclrtCreateEventExWithFlag"); }

aclError api::aclrtDestroyEvent(aclrtEvent event) {
  std::lock_guard lock(events_mutex);
  if (events().erase(static_cast<Event*>(event)) == 0) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtDestroyEvent: event %p does not exist", event);
  }
  delete static_cast<Event*>(event);
  return ACL_SUCCESS;
}

aclError api::aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
  const auto state = state_of(event, "aclrtRecordEvent");
  if (!state) return ACL_ERROR_RT_PARAM_INVALID;
  uint64_t number;
  {
    std::lock_guard lock(state->mutex);
    number = ++state->recorded;
  }
  return enqueue(stream, {&pass, &drop_mark, new Mark{state, number, 0}, "aclrtRecordEvent"});
}

aclError api::aclrtResetEvent(aclrtEvent event, aclrtStream) {
  return state_of(event, "aclrtResetEvent") ? ACL_SUCCESS : ACL_ERROR_RT_PARAM_INVALID;
}

aclError api::aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status) {
  const auto state = state_of(event, "aclrtQueryEventStatus");
  if (!state) return ACL_ERROR_RT_PARAM_INVALID;
  if (status == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEventStatus: status is null");
  std::lock_guard lock(state->mutex);
  *status = state->completed >= state->recorded ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
  return ACL_SUCCESS;
}

aclError api::aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus* status) {
  const auto state = state_of(event, "aclrtQueryEventWaitStatus");
  if (!state) return ACL_ERROR_RT_PARAM_INVALID;
  if (status == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEventWaitStatus: status is null");
  std::lock_guard lock(state->mutex);
  *status = state->completed >= state->recorded ? ACL_EVENT_WAIT_STATUS_COMPLETE : ACL_EVENT_WAIT_STATUS_NOT_READY;
  return ACL_SUCCESS;
}

aclError api::aclrtSynchronizeEvent(aclrtEvent event) { return synchronize(event, -1, "aclrtSynchronizeEvent"); }
aclError api::aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout) {
  return synchronize(event, timeout, "aclrtSynchronizeEventWithTimeout");
}
aclError api::aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) { return wait_event(stream, event, 0, "aclrtStreamWaitEvent"); }
aclError api::aclrtStreamWaitEventWithTimeout(aclrtStream stream, aclrtEvent event, int32_t timeout) {
  return wait_event(stream, event, timeout, "aclrtStreamWaitEventWithTimeout");
}

aclError api::aclrtEventElapsedTime(float* ms, aclrtEvent startEvent, aclrtEvent endEvent) {
  if (ms == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtEventElapsedTime: ms is null");
  const auto a = state_of(startEvent, "aclrtEventElapsedTime"), b = state_of(endEvent, "aclrtEventElapsedTime");
  if (!a || !b) return ACL_ERROR_RT_PARAM_INVALID;
  std::unique_lock lock_a(a->mutex, std::defer_lock), lock_b(b->mutex, std::defer_lock);
  if (a == b) lock_a.lock();  // an event may be measured against itself
  else std::lock(lock_a, lock_b);
  if (a->recorded == 0 || b->recorded == 0 || a->completed < a->recorded || b->completed < b->recorded) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtEventElapsedTime: both events must have been recorded and reached");
  }
  *ms = std::chrono::duration<float, std::milli>(b->when - a->when).count();
  return ACL_SUCCESS;
}

aclError api::aclrtEventGetTimestamp(aclrtEvent event, uint64_t* timestamp) {
  if (timestamp == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtEventGetTimestamp: timestamp is null");
  const auto state = state_of(event, "aclrtEventGetTimestamp");
  if (!state) return ACL_ERROR_RT_PARAM_INVALID;
  std::lock_guard lock(state->mutex);
  *timestamp = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(state->when.time_since_epoch()).count());
  return ACL_SUCCESS;
}

aclError api::aclrtGetEventId(aclrtEvent event, uint32_t* eventId) {
  if (eventId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetEventId: eventId is null");
  if (!state_of(event, "aclrtGetEventId")) return ACL_ERROR_RT_PARAM_INVALID;
  *eventId = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(event) >> 4);
  return ACL_SUCCESS;
}

}  // namespace softcann
