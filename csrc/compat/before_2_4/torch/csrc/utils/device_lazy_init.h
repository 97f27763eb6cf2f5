// torch started accelerators other than CUDA itself only later: there is nothing to tell it about them.
#pragma once

#include <c10/core/DeviceType.h>

namespace torch {
namespace utils {

inline void register_fork_handler_for_device_init(c10::DeviceType) {}

}  // namespace utils
}  // namespace torch
