// softcann's settings from the environment, read once per process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace softcann::runtime {

constexpr int kMaxDevices = 64;

struct Config {
  int physical_devices;      // SOFTCANN_DEVICE_COUNT, else LOCAL_WORLD_SIZE, else 1
  std::vector<int> visible;  // logical -> physical, after ASCEND_RT_VISIBLE_DEVICES
  std::string soc;           // SOFTCANN_SOC
  size_t memory;             // SOFTCANN_MEMORY, bytes per device
  bool schedule;             // SOFTCANN_SCHEDULE is set: random pauses before tasks
  uint64_t seed;             // its value
};

// Starts nothing and allocates nothing on the device, so a later fork is fine.
const Config& config();

inline int device_count() { return static_cast<int>(config().visible.size()); }

}  // namespace softcann::runtime
