// Streams of an npu device: a per-device default stream, a pool, and a current stream per thread and device.
#pragma once

#include <c10/core/Stream.h>

#include "acl/acl.h"

namespace torch_npu {

c10::DeviceIndex device_count() noexcept;      // 0 on any failure; starts nothing, safe before fork
c10::DeviceIndex current_device();             // per thread
void set_device(c10::DeviceIndex device);      // initialises the runtime on first use

c10::Stream default_stream(c10::DeviceIndex device);
c10::Stream current_stream(c10::DeviceIndex device = -1);
void set_current_stream(c10::Stream stream);
c10::Stream stream_from_pool(c10::DeviceIndex device, int priority);

// CANN's handle; created on first use. Cheap on the default stream.
aclrtStream stream_handle(c10::Stream stream);

}  // namespace torch_npu
