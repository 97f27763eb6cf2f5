// A cheap clock for stamps, and its conversion to time since 1970.
#pragma once

#include <chrono>
#include <cstdint>

namespace c10 {

using time_t = int64_t;
using approx_time_t = int64_t;

inline approx_time_t getApproximateTime() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Both clocks count nanoseconds here, so that one offset says all.
class ApproximateClockToUnixTimeConverter final {
 public:
  auto makeConverter() const {
    return [offset = offset_](approx_time_t t) { return t + offset; };
  }

 private:
  static int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
  int64_t offset_ = now() - getApproximateTime();
};

}  // namespace c10
