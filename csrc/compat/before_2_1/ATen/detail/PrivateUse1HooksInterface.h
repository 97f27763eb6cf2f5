// torch did not ask devices of others anything yet.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

namespace at {

struct PrivateUse1HooksInterface {
  virtual ~PrivateUse1HooksInterface() = default;
  virtual const at::Generator& getDefaultGenerator(c10::DeviceIndex device) = 0;
  virtual at::Device getDeviceFromPtr(void* data) const = 0;
};

inline void RegisterPrivateUse1HooksInterface(PrivateUse1HooksInterface*) {}

}  // namespace at
