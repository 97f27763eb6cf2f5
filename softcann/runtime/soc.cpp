#include "softcann/runtime/soc.h"

#include <cstring>

#include "softcann/runtime/config.h"

namespace softcann::runtime {
namespace {

constexpr size_t kMiB = size_t{1} << 20, kKiB = size_t{1} << 10;

constexpr Soc kSocs[] = {
    {"", 2201, 24, 48, 6, 192 * kMiB, 192 * kKiB, true, true},
    {"Ascend910A", 1001, 32, 32, 14, 32 * kMiB, 256 * kKiB, false, false},
    {"Ascend910P", 1001, 32, 32, 14, 32 * kMiB, 256 * kKiB, false, false},
    {"Ascend910B", 2201, 24, 48, 6, 192 * kMiB, 192 * kKiB, true, true},
    {"Ascend910B3", 2201, 20, 40, 6, 192 * kMiB, 192 * kKiB, true, true},
    {"Ascend910B4", 2201, 20, 40, 6, 96 * kMiB, 192 * kKiB, true, true},
    {"Ascend910_93", 2201, 24, 48, 6, 192 * kMiB, 192 * kKiB, true, true},
    {"Ascend310P", 2002, 8, 7, 4, 16 * kMiB, 256 * kKiB, false, false},
    {"Ascend310B", 3002, 1, 1, 2, 4 * kMiB, 256 * kKiB, true, true},
    {"Ascend950", 3510, 32, 64, 6, 128 * kMiB, 248 * kKiB, true, true},
};

}  // namespace

const Soc& soc() {
  static const Soc& found = [&]() -> const Soc& {
    const Soc* best = &kSocs[0];
    for (const Soc& candidate : kSocs) {
      const size_t length = strlen(candidate.prefix);
      if (config().soc.compare(0, length, candidate.prefix) == 0 && length >= strlen(best->prefix)) best = &candidate;
    }
    return *best;
  }();
  return found;
}

}  // namespace softcann::runtime
