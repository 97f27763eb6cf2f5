#include "ops/common.h"

namespace torch_npu::ops {

void DeviceScope::mixed(c10::Device other) const {
  TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two devices, npu:",
              static_cast<int>(found_), " and ", other, "! Move them to one device first, for example with .to('npu:",
              static_cast<int>(found_), "')");
}

}  // namespace torch_npu::ops
