// softcann's settings from the environment, read once per process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace softcann::runtime {

struct Config {
  int physical_devices;          // SOFTCANN_DEVICE_COUNT
  std::vector<int> visible;      // logical -> physical, after ASCEND_RT_VISIBLE_DEVICES
  std::string soc;               // SOFTCANN_SOC
  size_t memory;                 // SOFTCANN_MEMORY, bytes per device
  bool schedule;                 // SOFTCANN_SCHEDULE set: random delays before tasks
  uint64_t seed;
};

const Config& config();
inline int device_count() { return static_cast<int>(config().visible.size()); }

}  // namespace softcann::runtime
