#include "softcann/runtime/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <sstream>

namespace softcann::runtime {
namespace {

constexpr size_t kPageUnit = size_t{2} << 20;   // memory is counted in huge pages
constexpr size_t kLargestMemory = size_t{4} << 40;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<long> whole_number(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') return std::nullopt;
  return value;
}

// "64G", "1.5g", "512M", "1048576"
std::optional<size_t> byte_count(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  static constexpr std::pair<char, int> kUnits[] = {{'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}};
  int shift = 0;
  if (end == text.c_str()) return std::nullopt;
  if (*end != '\0') {
    const auto unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](auto& u) { return u.first == (*end | 0x20); });
    if (unit == std::end(kUnits)) return std::nullopt;
    shift = unit->second;
    ++end;
    if (*end == 'i') ++end;
    if (*end == 'b' || *end == 'B') ++end;
  }
  const double bytes = value * static_cast<double>(uint64_t{1} << shift);
  if (*end != '\0' || bytes < 1 || bytes > static_cast<double>(kLargestMemory)) return std::nullopt;
  return static_cast<size_t>(bytes);
}

void complain(const char* name, const std::string& value, const char* allowed, const std::string& instead) {
  std::fprintf(stderr, "softcann: %s=\"%s\" is not %s; %s is used\n", name, value.c_str(), allowed, instead.c_str());
}

int read_device_count() {
  // A launcher starts one process per device and says how many there are.
  for (const char* name : {"SOFTCANN_DEVICE_COUNT", "LOCAL_WORLD_SIZE"}) {
    const std::string text = environment(name);
    if (text.empty()) continue;
    const auto count = whole_number(text);
    if (count && *count >= 0 && *count <= kMaxDevices) return static_cast<int>(*count);
    complain(name, text, "a number of devices from 0 to 64", "1");
    return 1;
  }
  return 1;
}

std::vector<int> read_visible(int physical) {
  std::vector<int> visible;
  const char* list = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
  if (list == nullptr) {
    for (int i = 0; i < physical; ++i) visible.push_back(i);
    return visible;
  }
  // As CANN: the list counts up to its first entry that is no device or was named before.
  std::istringstream in(list);
  for (std::string item; std::getline(in, item, ',');) {
    const auto index = whole_number(item);
    if (!index || *index < 0 || *index >= physical) break;
    if (std::find(visible.begin(), visible.end(), static_cast<int>(*index)) != visible.end()) break;
    visible.push_back(static_cast<int>(*index));
  }
  return visible;
}

size_t read_memory(int physical) {
  const auto host = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  // Half of the machine for all devices together: the other half is the clients'.
  const size_t share = host / 2 / static_cast<size_t>(std::max(1, physical));
  const std::string text = environment("SOFTCANN_MEMORY");
  size_t bytes = share;
  if (!text.empty()) {
    const auto wanted = byte_count(text);
    if (wanted) {
      bytes = *wanted;
    } else {
      complain("SOFTCANN_MEMORY", text, "a size like 64G, 512M or 1073741824 (at most 4T)", std::to_string(share) + " bytes");
    }
  }
  return std::max(kPageUnit, bytes / kPageUnit * kPageUnit);
}

}  // namespace

const Config& config() {
  static const Config* const settings = [] {
    auto* c = new Config;
    c->physical_devices = read_device_count();
    c->visible = read_visible(c->physical_devices);
    c->soc = environment("SOFTCANN_SOC");
    if (c->soc.empty()) c->soc = "Ascend910B2";
    c->memory = read_memory(c->physical_devices);
    const std::string schedule = environment("SOFTCANN_SCHEDULE");
    c->schedule = !schedule.empty();
    c->seed = std::strtoull(schedule.c_str(), nullptr, 10);
    return c;
  }();
  return *settings;
}

}  // namespace softcann::runtime
