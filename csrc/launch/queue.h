// The task queue: calling threads push records, one consumer thread per device makes the CANN calls in that order.
//
// Everything that must stay in order with operator launches (copies, event record and wait, callbacks) goes through it;
// nothing calls a stream-ordered CANN function around it. The consumer never takes the GIL and never allocates from the
// caching allocator. With TASK_QUEUE_ENABLE=0 or ASCEND_LAUNCH_BLOCKING=1 a push runs its action on the calling thread
// (and, for the latter, synchronises the stream).
#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <initializer_list>
#include <type_traits>

#include "cann/export.h"

namespace torch_npu::launch {

// Runs on the consumer thread (device already set current there). An exception it raises becomes the device's pending
// error, prefixed with the record's name, and is raised by the next drain() or check() on that device.
using Action = void (*)(void* body);

struct Span {
  const void* data;
  size_t bytes;  // multiple of 8, except in the last span
};

// Copies the spans, one behind the other, into the queue; `action` gets the copy. `name` must outlive the record. Blocks
// while the queue is full. Never raises the pending error of earlier records: see raise_pending().
void push(c10::DeviceIndex device, const char* name, Action action, std::initializer_list<Span> body);

// push() for a trivially copyable callable: push(dev, "aclrtRecordEvent", [=] { ... });
template <class F>
void push(c10::DeviceIndex device, const char* name, F f) {
  static_assert(std::is_trivially_copyable_v<F>, "records are copied by value and never destroyed");
  push(device, name, [](void* body) { (*static_cast<F*>(body))(); }, {{&f, sizeof(F)}});
}

// From now on raise_pending() and drain() of `device` raise, until restart(), which also forgets the pending error.
void stop(c10::DeviceIndex device);
void restart(c10::DeviceIndex device);

// Raises the error that a record of `device` left behind, if any; it is raised once. An operator launch calls this first.
void raise_pending(c10::DeviceIndex device);

// What TASK_QUEUE_ENABLE says, for the rest of the process: 0 makes calls on the calling thread, 1 and 2 on the consumer. Calls
// made by whichever thread stay in the order in which a thread asked for them.
TORCH_NPU_API int task_queue();
TORCH_NPU_API void set_task_queue(int mode);

// From now on the calling thread makes its calls for `device` itself, behind those that are queued, or (false) queues them again.
void launch_directly(c10::DeviceIndex device, bool directly) noexcept;

// Waits until the consumer of `device` has issued everything pushed so far (not until the device has run it), then
// raises the pending error, if any.
void drain(c10::DeviceIndex device);

// drain() without raising: for destructors and allocator paths.
void drain_nothrow(c10::DeviceIndex device) noexcept;

// Drains and joins every consumer thread; later pushes run on the calling thread. Called once at interpreter exit.
void shutdown() noexcept;

}  // namespace torch_npu::launch
