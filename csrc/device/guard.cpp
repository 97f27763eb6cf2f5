// How c10 switches devices and streams and handles events of the npu device.

#include <utility>

#include "compat/interfaces.h"
#include "device/event.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "device/sync_debug.h"
#include "device/trace.h"
#include "memory/allocators.h"

namespace torch_npu {
namespace {

using c10::kPrivateUse1;

void check_type(c10::Device device) {
  TORCH_CHECK(device.type() == kPrivateUse1, "Expected an npu device, got ", device);
}

// What adopt_event() hands to the next record() of this thread.
thread_local NPUEvent* adopted = nullptr;

uint64_t bit(c10::ScalarTypeIndex index) { return uint64_t{1} << static_cast<int>(index); }

struct NPUGuardImpl final : torch_compat::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kPrivateUse1; }

  c10::Device exchangeDevice(c10::Device device) const override {
    check_type(device);
    const c10::Device old = getDevice();
    setDevice(device);
    return old;
  }

  c10::Device getDevice() const override { return c10::Device(kPrivateUse1, peek_device()); }

  void setDevice(c10::Device device) const override {
    check_type(device);
    if (device.has_index()) set_device(device.index());
  }

  // Called by destructors of guards, whose device has been current before.
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    try {
      if (device.has_index() && (is_initialized() || device.index() != peek_device())) set_device(device.index());
    } catch (...) {
      // The next call on the device reports what is wrong with it.
    }
  }

  c10::DeviceIndex deviceCount() const noexcept override { return device_count(); }

  void synchronizeDevice(const c10::DeviceIndex device) const override {
    synchronize_device(device);
    tell_ordering(Ordering::synchronize_device, nullptr, default_stream(device));
  }

  c10::DeviceCapability getDeviceCapability(c10::Device device) const override {
    check_type(device);
    c10::DeviceCapability capability;
    uint64_t bits = 0;
    for (const auto index :
         {c10::kIndex_Bool, c10::kIndex_Byte, c10::kIndex_Char, c10::kIndex_Short, c10::kIndex_Int, c10::kIndex_Long,
          c10::kIndex_Half, c10::kIndex_Float, c10::kIndex_Double, c10::kIndex_ComplexFloat, c10::kIndex_ComplexDouble}) {
      bits |= bit(index);
    }
    const c10::DeviceIndex number = device.has_index() ? device.index() : peek_device();
    if (device_properties(number).supports_bfloat16) bits |= bit(c10::kIndex_BFloat16);
    capability.capability_data.capability_bits = bits;
    return capability;
  }

  // Streams.
  c10::Stream getStream(c10::Device device) const TORCH_NPU_GUARD_NOEXCEPT override { return current_stream(number(device)); }
  c10::Stream getDefaultStream(c10::Device device) const override { return default_stream(number(device)); }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool high_priority) const override {
    return stream_from_pool(number(device), high_priority ? -1 : 0);
  }
  c10::Stream getNewStream(c10::Device device, int priority) const override { return stream_from_pool(number(device), priority); }
  c10::Stream exchangeStream(c10::Stream stream) const TORCH_NPU_GUARD_NOEXCEPT override {
    const c10::Stream old = current_stream(stream.device_index());
    set_current_stream(stream);
    return old;
  }
  void* getStreamNativeHandle(const c10::Stream stream) const override { return stream_handle(stream); }
  bool queryStream(const c10::Stream& stream) const override {
    const bool done = query_stream(stream);
    if (done) tell_ordering(Ordering::synchronize_stream, nullptr, stream);
    return done;
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    note_synchronization("Stream.synchronize()");
    synchronize_stream(stream);
    tell_ordering(Ordering::synchronize_stream, nullptr, stream);
  }

  // Events: the void* is an NPUEvent*.
  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex device, const c10::EventFlag flag) const override {
    TORCH_CHECK(device == -1 || device == stream.device_index(), "Event device npu:", static_cast<int>(device),
                " does not match recording stream's device npu:", static_cast<int>(stream.device_index()), ".");
    if (C10_UNLIKELY(adopted != nullptr)) {
      *event = std::exchange(adopted, nullptr);
      return;
    }
    if (*event == nullptr) {
      TORCH_CHECK(flag != c10::EventFlag::INVALID, "npu events cannot be made with the flag INVALID.");
      *event = new NPUEvent(flag == c10::EventFlag::BACKEND_DEFAULT ? NPUEvent::kTiming : NPUEvent::kDefault);
    }
    of(*event).record(stream);
    tell_ordering(Ordering::record, *event, stream);
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event == nullptr) return;
    of(event).block(stream);
    tell_ordering(Ordering::wait, event, stream);
  }
  bool queryEvent(void* event) const override {
    const bool done = event == nullptr || of(event).query();
    if (done && event != nullptr) tell_ordering(Ordering::synchronize_event, event, default_stream(of(event).device_index()));
    return done;
  }
  void synchronizeEvent(void* event) const override {
    if (event == nullptr) return;
    of(event).synchronize();
    tell_ordering(Ordering::synchronize_event, event, default_stream(of(event).device_index()));
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<NPUEvent*>(event); }
  double elapsedTime(void* start, void* end, const c10::DeviceIndex) const override {
    TORCH_CHECK_VALUE(start != nullptr && end != nullptr, "Both events must be recorded before calculating elapsed time.");
    return of(start).elapsed_time(of(end));
  }

  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    device_allocator()->recordStream(data, stream);
  }

 private:
  static c10::DeviceIndex number(c10::Device device) {
    check_type(device);
    return device.has_index() ? device.index() : c10::DeviceIndex{-1};
  }
  static NPUEvent& of(void* event) { return *static_cast<NPUEvent*>(event); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, NPUGuardImpl)

}  // namespace

std::atomic<OrderingObserver>& ordering_observer() noexcept {
  static std::atomic<OrderingObserver> observer{nullptr};
  return observer;
}

void adopt_event(torch_compat::Event& of, NPUEvent event, c10::DeviceIndex device) {
  TORCH_CHECK(of.eventId() == nullptr, "The event is in use already.");
  adopted = new NPUEvent(std::move(event));
  of.record(default_stream(device));
}

}  // namespace torch_npu
