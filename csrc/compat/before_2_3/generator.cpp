// torch.Generator(device="npu"): torch asked a registered function before it asked the hooks.
#include <ATen/core/GeneratorForPrivateuseone.h>

#include "device/generator.h"
#include "device/runtime.h"
#include "device/stream.h"

namespace torch_npu {
namespace {

at::Generator make(c10::DeviceIndex device) {
  if (device < 0) device = peek_device();
  check_device(device);
  return at::make_generator<NPUGeneratorImpl>(device);
}

const at::_GeneratorRegister registered(&make);

}  // namespace
}  // namespace torch_npu
