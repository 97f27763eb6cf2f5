// What the device cache needs of one device. The cache knows no CANN and no queue, so it can be tested without either.
#pragma once

#include <c10/core/Stream.h>

#include <cstddef>
#include <string>
#include <utility>

namespace torch_npu::memory {

class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;

  // nullptr when the device is out of memory; raises on any other failure.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* data) = 0;

  // Bytes that are {free, in total}.
  virtual std::pair<size_t, size_t> memory_info() = 0;

  // Returns when all work handed to the device so far, queued launches included, has run.
  virtual void synchronize() = 0;

  // A stream of the device is being captured into a graph: the host must neither wait for it nor record events.
  virtual bool capturing() { return false; }

  // An event behind everything that `stream` was given so far. Belongs to the caller until recycle_event().
  virtual void* record_event(c10::Stream stream) = 0;
  virtual bool event_done(void* event) = 0;
  virtual void wait_event(void* event) = 0;
  virtual void recycle_event(void* event) noexcept = 0;

  // Why address ranges cannot be had from this device; empty if they can.
  virtual std::string lack_of_address_ranges() { return {}; }

  // Address ranges without memory, and memory to put behind them. map() returns a handle for unmap(), nullptr when the
  // device is out of memory. What is unmapped while `keep` is set stays with the process for later calls of map(), and goes back to
  // the device when something else needs it, or with release_kept().
  virtual void* reserve_address(size_t bytes) = 0;
  virtual void release_address(void* address) noexcept = 0;
  virtual void* map(void* address, size_t bytes) = 0;
  virtual void unmap(void* address, void* handle, bool keep) = 0;
  virtual void release_kept() noexcept {}
};

}  // namespace torch_npu::memory
