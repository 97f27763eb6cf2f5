// Streams of an npu device: a per-device default stream, a pool, and a current stream per thread and device.
#pragma once

#include <c10/core/Stream.h>

#include <utility>

#include "acl/acl.h"
#include "cann/export.h"

namespace torch_npu {

inline constexpr c10::DeviceIndex kMaxDevices = 64;

TORCH_NPU_API c10::DeviceIndex device_count() noexcept;  // 0 on any failure; starts nothing, safe before fork
// The calling thread's device, made current in CANN too: initialises the runtime on first use.
TORCH_NPU_API c10::DeviceIndex current_device();
TORCH_NPU_API void set_device(c10::DeviceIndex device);  // initialises the runtime on first use
// The calling thread's device without touching CANN.
TORCH_NPU_API c10::DeviceIndex peek_device() noexcept;

TORCH_NPU_API c10::Stream default_stream(c10::DeviceIndex device);
TORCH_NPU_API c10::Stream current_stream(c10::DeviceIndex device = -1);
TORCH_NPU_API void set_current_stream(c10::Stream stream);
// Round robin over 32 streams per priority; negative priorities are high.
TORCH_NPU_API c10::Stream stream_from_pool(c10::DeviceIndex device, int priority = 0);
// A stream made by somebody else, who keeps owning it.
TORCH_NPU_API c10::Stream external_stream(aclrtStream handle, c10::DeviceIndex device);
TORCH_NPU_API bool is_external(c10::Stream stream);

TORCH_NPU_API int stream_priority(c10::Stream stream);
TORCH_NPU_API std::pair<int, int> stream_priority_range();  // {least, greatest}: greater priority is the lower number

// CANN's handle; created on first use. Cheap on the default stream.
TORCH_NPU_API aclrtStream stream_handle(c10::Stream stream);

// Whether everything given to the stream so far, queued launches included, has run.
TORCH_NPU_API bool query_stream(c10::Stream stream);
TORCH_NPU_API void synchronize_stream(c10::Stream stream);

}  // namespace torch_npu
