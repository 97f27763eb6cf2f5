// What torch asks an accelerator for outside of operators.
#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/StorageImpl.h>

#include "cann/cann.h"
#include "compat/interfaces.h"
#include "device/generator.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "memory/allocators.h"
#include "memory/storage.h"

namespace torch_npu {
namespace {

struct NPUHooks final : torch_compat::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex device) const override { return has_primary_context(device); }
  void init() const override { initialize(); }

  c10::DeviceIndex deviceCount() const override { return device_count(); }
  void setCurrentDevice(c10::DeviceIndex device) const override { set_device(device); }
  c10::DeviceIndex getCurrentDevice() const override { return peek_device(); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    const c10::DeviceIndex old = peek_device();
    if (device >= 0) set_device(device);
    return old;
  }
  // Restoring a device that was never made current is left out: it would start it for nothing.
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    const c10::DeviceIndex old = peek_device();
    if (device >= 0 && (device == old || has_primary_context(device))) return exchangeDevice(device);
    return old;
  }

  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override { return default_generator(device); }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override {
    if (device < 0) device = peek_device();
    check_device(device);
    return at::make_generator<NPUGeneratorImpl>(device);
  }

  at::Allocator* getPinnedMemoryAllocator() const override { return host_allocator(); }
  bool isPinnedPtr(const void* data) const override { return is_pinned_ptr(data); }

  at::Device getDeviceFromPtr(void* data) const override {
    initialize();
    current_device();
    aclrtPtrAttributes attributes{};
    NPU_CHECK(cann::aclrtPointerGetAttributes(data, &attributes));
    TORCH_CHECK(attributes.location.type == ACL_MEM_LOCATION_TYPE_DEVICE,
                "The pointer ", data, " is not memory of an npu device.");
    return at::Device(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(attributes.location.id));
  }

  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t new_size) const override {
    resize_storage_bytes(storage.unsafeGetStorageImpl(), new_size);
  }
};

// Leaked: torch keeps the pointer.
const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new NPUHooks);
  return true;
}();

}  // namespace
}  // namespace torch_npu
