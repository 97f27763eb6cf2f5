// torch's interfaces that we implement, with the functions that they gained. In a torch that lacks such a function nothing but this
// project calls it.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceCapability.h>
#include <c10/core/Event.h>
#include <c10/core/GeneratorImpl.h>
#include <c10/core/Storage.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "compat/compat.h"

namespace torch_compat {

#if TORCH_NPU_TORCH_VERSION < 20300

// Allocators were const.
struct Allocator : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) const final { return const_cast<Allocator*>(this)->allocate(bytes); }
  virtual c10::DataPtr allocate(size_t bytes) = 0;
  virtual bool is_simple_data_ptr(const c10::DataPtr& data) const { return data.get() == data.get_context(); }
  virtual void copy_data(void* dest, const void* src, size_t bytes) const = 0;
};

struct DeviceGuardImplInterface : c10::impl::DeviceGuardImplInterface {
  virtual void synchronizeDevice(const c10::DeviceIndex device) const = 0;
  virtual c10::DeviceCapability getDeviceCapability(c10::Device device) const = 0;
  virtual c10::Stream getNewStream(c10::Device device, int priority) const = 0;
  virtual void* getStreamNativeHandle(const c10::Stream stream) const = 0;
  virtual void synchronizeEvent(void* event) const = 0;
  virtual double elapsedTime(void* start, void* end, const c10::DeviceIndex device) const = 0;
};

struct GeneratorImpl : c10::GeneratorImpl {
  using c10::GeneratorImpl::GeneratorImpl;
  virtual void graphsafe_set_state(const c10::intrusive_ptr<c10::GeneratorImpl>& other) = 0;
  virtual c10::intrusive_ptr<c10::GeneratorImpl> graphsafe_get_state() const = 0;
#if TORCH_NPU_TORCH_VERSION < 20100
  virtual void set_offset(uint64_t offset) = 0;
  virtual uint64_t get_offset() const = 0;
#endif
};

// c10::Event as it is later: one that also waits and measures.
class Event {
 public:
  explicit Event(c10::DeviceType type, c10::EventFlag flag = c10::EventFlag::PYTORCH_DEFAULT)
      : guard_(static_cast<const DeviceGuardImplInterface*>(c10::impl::getDeviceGuardImpl(type))), flag_(flag) {}
  ~Event() {
    if (event_ != nullptr) guard_->destroyEvent(event_, device_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const c10::Stream& stream) {
    guard_->record(&event_, stream, device_, flag_);
    device_ = stream.device_index();
  }
  void block(const c10::Stream& stream) const {
    if (event_ != nullptr) guard_->block(event_, stream);
  }
  bool query() const { return event_ == nullptr || guard_->queryEvent(event_); }
  void synchronize() const {
    if (event_ != nullptr) guard_->synchronizeEvent(event_);
  }
  double elapsedTime(const Event& end) const { return guard_->elapsedTime(event_, end.event_, device_); }
  void* eventId() const { return event_; }
  c10::DeviceIndex device_index() const { return device_; }

 private:
  const DeviceGuardImplInterface* guard_;
  c10::EventFlag flag_;
  void* event_ = nullptr;
  c10::DeviceIndex device_ = -1;
};

struct PrivateUse1HooksInterface : at::PrivateUse1HooksInterface {
  virtual const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const = 0;
  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) final {
    return static_cast<const PrivateUse1HooksInterface*>(this)->getDefaultGenerator(device);
  }
  virtual bool isBuilt() const = 0;
  virtual bool isAvailable() const = 0;
  virtual bool hasPrimaryContext(c10::DeviceIndex device) const = 0;
  virtual void init() const = 0;
  virtual c10::DeviceIndex deviceCount() const = 0;
  virtual void setCurrentDevice(c10::DeviceIndex device) const = 0;
  virtual c10::DeviceIndex getCurrentDevice() const = 0;
  virtual c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const = 0;
  virtual c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const = 0;
  virtual at::Generator getNewGenerator(c10::DeviceIndex device) const = 0;
  virtual c10::Allocator* getPinnedMemoryAllocator() const = 0;
  virtual bool isPinnedPtr(const void* data) const = 0;
  virtual void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const = 0;
#if TORCH_NPU_TORCH_VERSION < 20100
  virtual at::Device getDeviceFromPtr(void* data) const = 0;
#endif
};

#else

using c10::Allocator;
using c10::Event;
using c10::GeneratorImpl;
using c10::impl::DeviceGuardImplInterface;
using at::PrivateUse1HooksInterface;

#endif

}  // namespace torch_compat
