// What programs set and ask about devices and streams beyond computing: cores, timeouts, determinism, overflow, dumps, stopping.
#pragma once

#include <c10/core/Stream.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "acl/acl.h"
#include "cann/export.h"

namespace torch_npu {

// Cube and vector cores that operators may use: {cube, vector}. -1 leaves a number as it is.
using CoreLimits = std::pair<int64_t, int64_t>;
TORCH_NPU_API CoreLimits device_limits(c10::DeviceIndex device);
TORCH_NPU_API void set_device_limits(c10::DeviceIndex device, CoreLimits limits);
TORCH_NPU_API void reset_device_limits(c10::DeviceIndex device);
TORCH_NPU_API CoreLimits stream_limits(c10::Stream stream);
TORCH_NPU_API void set_stream_limits(c10::Stream stream, CoreLimits limits);
TORCH_NPU_API void reset_stream_limits(c10::Stream stream);
// Whether operators of the stream are prepared under limits of its own.
bool has_limits(aclrtStream stream) noexcept;

// Round robin over 4 streams of each priority, whose work the calling thread gives to CANN itself, past the task queue.
TORCH_NPU_API c10::Stream sync_launch_stream(c10::DeviceIndex device, int priority);

// How long an operator may run.
TORCH_NPU_API void set_operator_timeout(uint64_t milliseconds);

// CANN's options ACL_OPT_DETERMINISTIC and ACL_OPT_STRONG_CONSISTENCY, for operators launched from now on.
TORCH_NPU_API void set_determinism(int64_t deterministic, int64_t strong_consistency);

// Whether numbers that are too large become infinities on the current device, instead of the largest number.
TORCH_NPU_API bool has_infinities();
// Whether an operator of the current stream has had too large a number since the flag was cleared, where there are no infinities. Waits.
TORCH_NPU_API bool overflow_flag();
TORCH_NPU_API void clear_overflow_flag();

// Drops what the device has been given and has not done; work for it raises until restart_device().
TORCH_NPU_API void stop_device(c10::DeviceIndex device);
TORCH_NPU_API void restart_device(c10::DeviceIndex device);

// Percent of the cube and vector cores in use: the mean, or the one of the two that the device tells.
TORCH_NPU_API int utilization(c10::DeviceIndex device);

// Addresses of memory whose errors could not be corrected: {address, bytes}.
TORCH_NPU_API std::vector<std::pair<uintptr_t, size_t>> uncorrectable_memory(c10::DeviceIndex device);

// CANN's dump of operators' inputs and outputs, as a JSON file says.
TORCH_NPU_API void init_dump();
TORCH_NPU_API void set_dump(const std::string& file);
TORCH_NPU_API void finalize_dump();

}  // namespace torch_npu
