// The life of CANN in this process: initialised at the first use of a device, gone at exit, refused after fork.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "cann/export.h"
#include "device/stream.h"

namespace torch_npu {

// Starts CANN once; raises one sentence if there is no usable NPU, or in a process forked from one that had started it.
TORCH_NPU_API void initialize();
TORCH_NPU_API bool is_initialized() noexcept;
TORCH_NPU_API bool is_in_bad_fork() noexcept;

// Why no NPU can be used, in one sentence; "" if one can. Starts nothing.
TORCH_NPU_API std::string unavailable_reason();

// Whether this process has used the device.
TORCH_NPU_API bool has_primary_context(c10::DeviceIndex device) noexcept;

struct TORCH_NPU_API DeviceProperties {
  std::string name;         // "Ascend910B2", "Ascend910B2 (softcann)"
  std::string soc_name;     // "Ascend910B2"
  std::string uuid;         // "" where CANN does not tell
  int64_t total_memory = 0;
  int64_t cube_core_num = 0;
  int64_t vector_core_num = 0;
  int64_t l2_cache_size = 0;
  bool supports_bfloat16 = true;
};

// Asked without a context where CANN allows it: a later fork stays possible.
TORCH_NPU_API const DeviceProperties& device_properties(c10::DeviceIndex device);

// Whether `device` may address the memory of `peer`.
TORCH_NPU_API bool can_access_peer(c10::DeviceIndex device, c10::DeviceIndex peer);
void enable_peer_access(c10::DeviceIndex device, c10::DeviceIndex peer);  // once per pair; raises if impossible

// Waits for all streams of the device, queued launches included.
TORCH_NPU_API void synchronize_device(c10::DeviceIndex device);

// Stops the queues and gives the devices back. Runs at exit; may be called earlier; everything after it raises.
TORCH_NPU_API void shutdown() noexcept;

// raise() for a failure of the device's earlier work: names the operator that it is about, if that can be told.
[[noreturn]] void raise_asynchronous(int code, const char* call, c10::DeviceIndex device);

// Raises unless `device` is a number of a device.
void check_device(c10::DeviceIndex device);

// Sets the calling thread's device for a scope; -1 leaves it.
class DeviceSwitch {
 public:
  explicit DeviceSwitch(c10::DeviceIndex device) : previous_(current_device()) {
    if (device >= 0 && device != previous_) set_device(device);
  }
  ~DeviceSwitch();
  DeviceSwitch(const DeviceSwitch&) = delete;

 private:
  c10::DeviceIndex previous_;
};

}  // namespace torch_npu
