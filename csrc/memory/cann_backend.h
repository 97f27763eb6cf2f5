// The device cache's view of CANN, and the events that both allocators use.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <mutex>
#include <vector>

#include "device/event.h"
#include "memory/backend.h"

namespace torch_npu::memory {

std::unique_ptr<DeviceBackend> make_cann_backend(c10::DeviceIndex device);

// Events used again, because CANN has few of them and making one is slow.
class EventPool {
 public:
  // Recorded behind everything that `stream` was given so far.
  std::unique_ptr<NPUEvent> record(c10::Stream stream);
  void recycle(std::unique_ptr<NPUEvent> event) noexcept;

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<NPUEvent>> idle_[128];  // an event belongs to a device
};

EventPool& event_pool();

}  // namespace torch_npu::memory
