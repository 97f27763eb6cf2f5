// Which CANN is installed: asked from CANN itself where it runs, read from its version files where it does not.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "cann/export.h"

namespace torch_npu::cann {

// alpha and beta precede RC, RC precedes the release: 8.1.RC1.alpha002 < 8.1.RC1 < 8.1.0.
struct TORCH_NPU_API Version {
  std::string text;                // as found; "" = unknown
  int major = 0, minor = 0;
  int stage = 0;                   // 0 alpha, 1 beta, 2 RC, 3 released
  int patch = 0;                   // number of the release candidate or of the patch

  static Version parse(std::string_view text);
  explicit operator bool() const { return !text.empty(); }
  std::strong_ordering operator<=>(const Version& other) const;
  bool operator==(const Version& other) const { return (*this <=> other) == 0; }
};

// Version of the CANN in use. Unknown if it has neither the function nor the files.
TORCH_NPU_API const Version& version();

// What the version files of the tree at `home` say, "" if there are none.
std::string version_from_files(const std::string& home);

}  // namespace torch_npu::cann
