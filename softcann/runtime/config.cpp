#include "softcann/runtime/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace softcann::runtime {
namespace {

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// "64G", "512M", "1048576"
size_t parse_bytes(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  switch (*end) {
    case 'k': case 'K': return static_cast<size_t>(value * (1ull << 10));
    case 'm': case 'M': return static_cast<size_t>(value * (1ull << 20));
    case 'g': case 'G': return static_cast<size_t>(value * (1ull << 30));
    case 't': case 'T': return static_cast<size_t>(value * (1ull << 40));
    default: return static_cast<size_t>(value);
  }
}

constexpr size_t kUnit = size_t{2} << 20;  // memory sizes are whole huge pages
constexpr int kMaxDevices = 64;

}  // namespace

const Config& config() {
  static const Config c = [] {
    Config c;
    std::string count = env("SOFTCANN_DEVICE_COUNT");
    if (count.empty()) count = env("LOCAL_WORLD_SIZE");  // a launcher starts one process per device
    c.physical_devices = count.empty() ? 1 : std::clamp(std::atoi(count.c_str()), 0, kMaxDevices);
    const char* list = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
    if (list == nullptr) {
      for (int i = 0; i < c.physical_devices; ++i) c.visible.push_back(i);
    } else {
      // As CANN: the list counts up to the first entry that is no device.
      std::istringstream in(list);
      for (std::string item; std::getline(in, item, ',');) {
        char* end = nullptr;
        const long index = std::strtol(item.c_str(), &end, 10);
        if (item.empty() || *end != '\0' || index < 0 || index >= c.physical_devices) break;
        c.visible.push_back(static_cast<int>(index));
      }
    }
    c.soc = env("SOFTCANN_SOC").empty() ? "Ascend910B2" : env("SOFTCANN_SOC");
    const std::string memory = env("SOFTCANN_MEMORY");
    const size_t host = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t wanted = memory.empty() ? host / 2 / static_cast<size_t>(std::max(1, c.physical_devices)) : parse_bytes(memory);
    c.memory = std::max(kUnit, wanted / kUnit * kUnit);
    c.schedule = !env("SOFTCANN_SCHEDULE").empty();
    c.seed = std::strtoull(env("SOFTCANN_SCHEDULE").c_str(), nullptr, 10);
    return c;
  }();
  return c;
}

}  // namespace softcann::runtime
