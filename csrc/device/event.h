// A point in a stream's work. Made at the first record; waiting for it and destroying it go through the task queue.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include "acl/acl.h"
#include "cann/export.h"
#include "compat/interfaces.h"

namespace torch_npu {

struct EventState;  // shared by the event and the queue records that use it

class TORCH_NPU_API NPUEvent {
 public:
  enum Flags : uint8_t { kDefault = 0, kTiming = 1, kInterprocess = 2 };

  explicit NPUEvent(uint8_t flags = kDefault) noexcept : flags_(flags) {}
  ~NPUEvent();
  NPUEvent(NPUEvent&& other) noexcept;
  NPUEvent& operator=(NPUEvent&& other) noexcept;

  // An event of another process, from its ipc_handle().
  static NPUEvent from_ipc_handle(c10::DeviceIndex device, const aclrtIpcEventHandle& handle);
  aclrtIpcEventHandle ipc_handle(c10::DeviceIndex device);

  bool is_created() const noexcept { return state_ != nullptr; }
  c10::DeviceIndex device_index() const noexcept;  // -1 before the first record
  aclrtEvent handle() const noexcept;        // nullptr before the first record

  // Marks what `stream` was given so far; again if it had been recorded.
  void record(c10::Stream stream);
  // The same for who only asks whether the stream is done: one that its owner destroyed meanwhile is.
  void record_end(c10::Stream stream);
  // Work given to `stream` from now on waits for the last record. No record: nothing to wait for.
  void block(c10::Stream stream) const;
  // Whether the last record has been reached. No record: true.
  bool query() const;
  void synchronize() const;
  // Milliseconds from this event to `end`; both need kTiming and have to be complete.
  double elapsed_time(const NPUEvent& end) const;
  // Microseconds of the device's clock at the last record; needs kTiming. Waits for it.
  uint64_t recorded_time() const;
  // As if never recorded. Waits that were asked for stay.
  void reset();

 private:
  void create(c10::DeviceIndex device);
  template <class F>
  void record(c10::Stream stream, F call);

  EventState* state_ = nullptr;
  uint8_t flags_;
};

// Makes `event` what the unrecorded c10 event `of` stands for: c10 has no flag for events that processes share.
TORCH_NPU_API void adopt_event(torch_compat::Event& of, NPUEvent event, c10::DeviceIndex device);

}  // namespace torch_npu
