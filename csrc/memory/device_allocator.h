// c10's view of the device caches: one DeviceCache per device, made when the device first allocates.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include "memory/device_cache.h"

namespace torch_npu::memory {

// The cache of `device`; initialises the device if it has none yet.
TORCH_NPU_API DeviceCache& device_cache(c10::DeviceIndex device);

// Gives new settings to all caches.
void apply_settings(const Settings& settings);

}  // namespace torch_npu::memory
