// Events. A record is a place in a stream (Mark); a wait waits for the record that was newest when it was asked for, so
// recording an event again does not disturb those who wait already, and waiting for an event never recorded is no wait.
#include <atomic>
#include <optional>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/event.h"
#include "softcann/runtime/ipc.h"
#include "softcann/runtime/settings.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {
namespace {

using EventSlots = Slots<Event, size_t{1} << 20>;

EventSlots& events() {
  static auto* slots = new EventSlots;
  return *slots;
}

constexpr uint32_t kKnownFlags = ACL_EVENT_SYNC | ACL_EVENT_CAPTURE_STREAM_PROGRESS | ACL_EVENT_TIME_LINE | ACL_EVENT_DEVICE_USE_ONLY |
                                 ACL_EVENT_EXTERNAL | ACL_EVENT_IPC;

int64_t now_ns() { return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count(); }

// The record task's end of an event: it may be destroyed while the record is under way.
struct Recording {
  Event* event;
  uint64_t number;
};

int reach(void* p) {
  auto* recording = static_cast<Recording*>(p);
  std::lock_guard<std::mutex> lock(recording->event->mutex);
  if (recording->event->records == recording->number) recording->event->reached_ns = now_ns();
  return ACL_SUCCESS;
}

void drop_recording(void* p) {
  auto* recording = static_cast<Recording*>(p);
  Event* event = recording->event;
  if (event->shared != nullptr) event->shared->complete(recording->number);
  delete recording;
  release_event(event);
}

struct Waiting {
  Mark mark;
  int64_t timeout_ms;
  const char* function;
};

int wait_for_mark(void* p) {
  auto* waiting = static_cast<Waiting*>(p);
  if (Stream::wait(waiting->mark, deadline_after(waiting->timeout_ms))) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_WAIT_TIMEOUT, "%s: the event was not reached within %lld ms", waiting->function,
              static_cast<long long>(waiting->timeout_ms));
}

// Holds a reference to the event: its counter goes to another event, or is unmapped, with the last of them.
struct SharedWaiting {
  Event* event;
  uint64_t number;
  int64_t timeout_ms;
  const char* function;
};

int wait_for_shared(void* p) {
  auto* waiting = static_cast<SharedWaiting*>(p);
  if (waiting->event->shared->wait(waiting->number, deadline_after(waiting->timeout_ms), task_aborted)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_WAIT_TIMEOUT, "%s: the event was not reached within %lld ms", waiting->function,
              static_cast<long long>(waiting->timeout_ms));
}

void drop_shared_waiting(void* p) {
  auto* waiting = static_cast<SharedWaiting*>(p);
  release_event(waiting->event);
  delete waiting;
}

}  // namespace

Event* find_event(const char* function, aclrtEvent handle, int* code) {
  if ((*code = check_fork(function)) != ACL_SUCCESS) return nullptr;
  if (handle == nullptr) {
    *code = fail(ACL_ERROR_INVALID_PARAM, "%s: event is null", function);
    return nullptr;
  }
  if (Event* event = events().get(handle)) return event;
  *code = fail(ACL_ERROR_RT_PARAM_INVALID, "%s: event %p does not exist: it was destroyed, its device was reset, or it never was an event",
               function, handle);
  return nullptr;
}

Event* create_event(const char* function, uint32_t flags, Context* context, int* code) {
  if ((flags & ~kKnownFlags) != 0) {
    *code = fail(ACL_ERROR_RT_PARAM_INVALID, "%s: flag is 0x%x, allowed are combinations of 0x%x (ACL_EVENT_*)", function, flags, kKnownFlags);
    return nullptr;
  }
  Event* event = events().take();
  if (event == nullptr) {
    *code = fail(ACL_ERROR_RT_NO_EVENT_RESOURCE, "%s: too many events exist", function);
    return nullptr;
  }
  static std::atomic<uint32_t> next_id{0};
  event->id = next_id.fetch_add(1, std::memory_order_relaxed);
  event->flags = flags;
  event->context = context;
  event->last = {};
  event->records = 0;
  event->reached_ns = 0;
  event->shared = nullptr;
  event->references.store(1, std::memory_order_relaxed);
  event->live.store(true, std::memory_order_release);
  *code = ACL_SUCCESS;
  return event;
}

void release_event(Event* event) {
  if (event->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (event->shared != nullptr) release_shared_event(event);
  events().give(event);
}

void retire_events_of(Context* context) {
  events().for_each_live([&](Event& event) {
    bool live = true;
    if (event.context == context && event.live.compare_exchange_strong(live, false)) release_event(&event);
  });
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

aclError create(const char* function, aclrtEvent* event, uint32_t flags) {
  if (event == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: event is null", function);
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  int code = ACL_SUCCESS;
  Event* created = create_event(function, flags, context, &code);
  if (created == nullptr) return code;
  if ((flags & ACL_EVENT_IPC) != 0 && (code = share_event(function, created)) != ACL_SUCCESS) {
    created->live = false;
    release_event(created);
    return code;
  }
  *event = created;
  return ACL_SUCCESS;
}

// f(event) for a live event.
template <class F>
aclError with_event(const char* function, aclrtEvent handle, F f) {
  int code = ACL_SUCCESS;
  Event* event = find_event(function, handle, &code);
  return event == nullptr ? code : f(*event);
}

aclError record(const char* function, aclrtEvent handle, aclrtStream stream_handle) {
  return with_event(function, handle, [&](Event& event) -> int {
    int code = ACL_SUCCESS;
    Stream* stream = find_stream_of_context(stream_handle, function, &code);
    if (stream == nullptr) return code;
    // Before locking, since what makes room may be an earlier record of this event, which takes the lock.
    stream->make_room();
    // Held while enqueueing, so that the newest number belongs to the last place in the stream.
    std::lock_guard<std::mutex> lock(event.mutex);
    const uint64_t number = event.shared != nullptr ? event.shared->begin() : event.records + 1;
    event.records = number;
    event.reached_ns = 0;
    event.references.fetch_add(1, std::memory_order_relaxed);
    return stream->push({&reach, &drop_recording, new Recording{&event, number}, function}, &event.last);
  });
}

aclError wait(const char* function, aclrtStream stream_handle, aclrtEvent handle, int64_t timeout_ms) {
  return with_event(function, handle, [&](Event& event) -> int {
    int code = ACL_SUCCESS;
    Stream* stream = find_stream_of_context(stream_handle, function, &code);
    if (stream == nullptr) return code;
    if (event.shared != nullptr) {
      const uint64_t number = event.shared->begun();
      if (event.shared->completed() >= number) return ACL_SUCCESS;
      event.references.fetch_add(1, std::memory_order_relaxed);
      return stream->enqueue({&wait_for_shared, &drop_shared_waiting, new SharedWaiting{&event, number, timeout_ms, function}, function});
    }
    Mark mark;
    {
      std::lock_guard<std::mutex> lock(event.mutex);
      mark = event.last;
    }
    // What comes later in the same stream waits anyway.
    if (mark.passed() || mark.stream == stream) return ACL_SUCCESS;
    return stream->enqueue({&wait_for_mark, [](void* p) { delete static_cast<Waiting*>(p); }, new Waiting{mark, timeout_ms, function}, function});
  });
}

bool is_reached(Event& event) {
  if (event.shared != nullptr) return event.shared->completed() >= event.shared->begun();
  std::lock_guard<std::mutex> lock(event.mutex);
  return event.last.passed();
}

bool was_recorded(Event& event) {
  if (event.shared != nullptr) return event.shared->begun() != 0;
  std::lock_guard<std::mutex> lock(event.mutex);
  return event.records != 0;
}

aclError synchronize(const char* function, aclrtEvent handle, int64_t timeout_ms) {
  return with_event(function, handle, [&](Event& event) -> int {
    const Deadline deadline = deadline_after(timeout_ms);
    bool reached;
    Mark mark;
    if (event.shared != nullptr) {
      event.references.fetch_add(1, std::memory_order_relaxed);  // another thread may destroy it
      reached = event.shared->wait(event.shared->begun(), deadline, task_aborted);
      release_event(&event);
    } else {
      {
        std::lock_guard<std::mutex> lock(event.mutex);
        mark = event.last;
      }
      if (mark.stream != nullptr && mark.stream->is_own() && !mark.passed()) {
        return fail(ACL_ERROR_RT_STREAM_CONTEXT, "%s: called from a task of the stream that the event is recorded in, which would wait for ever",
                    function);
      }
      reached = mark.stream == nullptr || Stream::wait(mark, deadline);
    }
    if (!reached) {
      return fail(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, "%s: event %u was not reached within %lld ms", function, event.id,
                  static_cast<long long>(timeout_ms));
    }
    return mark.stream == nullptr ? ACL_SUCCESS : mark.stream->take_failure(mark.count);
  });
}

// Nanoseconds when the newest record was reached.
aclError time_of(const char* function, aclrtEvent handle, int64_t* ns) {
  return with_event(function, handle, [&](Event& event) -> int {
    std::lock_guard<std::mutex> lock(event.mutex);
    if ((event.flags & ACL_EVENT_TIME_LINE) == 0) {
      return fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "%s: event %u was created without ACL_EVENT_TIME_LINE and has no time", function, event.id);
    }
    if (event.records == 0) return fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "%s: event %u was never recorded", function, event.id);
    if (!event.last.passed()) {
      return fail(ACL_ERROR_RT_EVENT_NOT_COMPLETE, "%s: event %u is recorded but not reached yet; synchronise first", function, event.id);
    }
    if (event.reached_ns == 0) {
      return fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "%s: the record of event %u was dropped: its stream was aborted or had failed", function,
                  event.id);
    }
    *ns = event.reached_ns;
    return ACL_SUCCESS;
  });
}

}  // namespace

aclError api::aclrtCreateEvent(aclrtEvent* event) { return create("aclrtCreateEvent", event, ACL_EVENT_SYNC | ACL_EVENT_TIME_LINE); }
aclError api::aclrtCreateEventWithFlag(aclrtEvent* event, uint32_t flag) { return create("aclrtCreateEventWithFlag", event, flag); }
aclError api::aclrtCreateEventExWithFlag(aclrtEvent* event, uint32_t flag) { return create("aclrtCreateEventExWithFlag", event, flag); }

aclError api::aclrtDestroyEvent(aclrtEvent event) {
  return with_event("aclrtDestroyEvent", event, [&](Event& e) -> int {
    bool live = true;
    if (!e.live.compare_exchange_strong(live, false)) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtDestroyEvent: event %p was destroyed by another thread", event);
    }
    release_event(&e);
    return ACL_SUCCESS;
  });
}

aclError api::aclrtRecordEvent(aclrtEvent event, aclrtStream stream) { return record("aclrtRecordEvent", event, stream); }

aclError api::aclrtRecordEventWithFlag(aclrtEvent event, aclrtStream stream, uint32_t flag) {
  if (flag > ACL_EVENT_RECORD_EXTERNAL) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtRecordEventWithFlag: flag is %u, allowed are 0 and 1", flag);
  return record("aclrtRecordEventWithFlag", event, stream);
}

// Waits are bound to one record, so there is nothing to take back.
aclError api::aclrtResetEvent(aclrtEvent event, aclrtStream stream) {
  return with_event("aclrtResetEvent", event, [&](Event&) {
    int code = ACL_SUCCESS;
    find_stream_of_context(stream, "aclrtResetEvent", &code);
    return code;
  });
}

aclError api::aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) { return wait("aclrtStreamWaitEvent", stream, event, event_wait_timeout_ms()); }

// The timeout of the device's waits is in milliseconds, 0 = for ever.
aclError api::aclrtStreamWaitEventWithTimeout(aclrtStream stream, aclrtEvent event, int32_t timeout) {
  return wait("aclrtStreamWaitEventWithTimeout", stream, event, timeout <= 0 ? event_wait_timeout_ms() : timeout);
}

aclError api::aclrtStreamWaitEventWithFlag(aclrtStream stream, aclrtEvent event, uint32_t timeout, uint32_t flag) {
  if (flag > ACL_EVENT_WAIT_EXTERNAL) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtStreamWaitEventWithFlag: flag is %u, allowed are 0 and 1", flag);
  return wait("aclrtStreamWaitEventWithFlag", stream, event, timeout == 0 ? event_wait_timeout_ms() : static_cast<int64_t>(timeout));
}

aclError api::aclrtSynchronizeEvent(aclrtEvent event) { return synchronize("aclrtSynchronizeEvent", event, -1); }
aclError api::aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout) {
  return synchronize("aclrtSynchronizeEventWithTimeout", event, timeout);
}

aclError api::aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status) {
  if (status == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEventStatus: status is null");
  return with_event("aclrtQueryEventStatus", event, [&](Event& e) {
    *status = was_recorded(e) && is_reached(e) ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
    return ACL_SUCCESS;
  });
}

aclError api::aclrtQueryEvent(aclrtEvent event, aclrtEventStatus* status) {
  if (status == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEvent: status is null");
  return with_event("aclrtQueryEvent", event, [&](Event& e) {
    *status = was_recorded(e) && is_reached(e) ? ACL_EVENT_STATUS_COMPLETE : ACL_EVENT_STATUS_NOT_READY;
    return ACL_SUCCESS;
  });
}

// Complete as soon as no wait of now would block.
aclError api::aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus* status) {
  if (status == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEventWaitStatus: status is null");
  return with_event("aclrtQueryEventWaitStatus", event, [&](Event& e) {
    *status = is_reached(e) ? ACL_EVENT_WAIT_STATUS_COMPLETE : ACL_EVENT_WAIT_STATUS_NOT_READY;
    return ACL_SUCCESS;
  });
}

aclError api::aclrtEventElapsedTime(float* ms, aclrtEvent startEvent, aclrtEvent endEvent) {
  if (ms == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtEventElapsedTime: ms is null");
  int64_t start = 0, end = 0;
  if (const int code = time_of("aclrtEventElapsedTime", startEvent, &start)) return code;
  if (const int code = time_of("aclrtEventElapsedTime", endEvent, &end)) return code;
  *ms = static_cast<float>(static_cast<double>(end - start) / 1e6);
  return ACL_SUCCESS;
}

aclError api::aclrtEventGetTimestamp(aclrtEvent event, uint64_t* timestamp) {
  if (timestamp == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtEventGetTimestamp: timestamp is null");
  int64_t ns = 0;
  if (const int code = time_of("aclrtEventGetTimestamp", event, &ns)) return code;
  *timestamp = static_cast<uint64_t>(ns / 1000);
  return ACL_SUCCESS;
}

aclError api::aclrtGetEventId(aclrtEvent event, uint32_t* eventId) {
  if (eventId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetEventId: eventId is null");
  return with_event("aclrtGetEventId", event, [&](Event& e) {
    *eventId = e.id;
    return ACL_SUCCESS;
  });
}

aclError api::aclrtGetEventAvailNum(uint32_t* eventCount) {
  if (eventCount == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetEventAvailNum: eventCount is null");
  *eventCount = 65535;  // the device's limit; softcann has more
  return ACL_SUCCESS;
}

}  // namespace softcann
