// torch.Generator() could not be of another device yet.
#pragma once

#include <ATen/core/Generator.h>

#include <functional>

namespace at {

struct _GeneratorRegister {
  explicit _GeneratorRegister(std::function<at::Generator(c10::DeviceIndex)>) {}
};

}  // namespace at
