#include "cann/version.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <tuple>
#include <vector>

#include "cann/cann.h"
#include "cann/loader.h"

namespace torch_npu::cann {
namespace {

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Value of the first line "key=value" (any case) in `file`.
std::string read_key(const std::string& file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t eq = line.find('=');
    if (eq == std::string::npos || lower(std::string_view(line).substr(0, eq)) != key) continue;
    std::string value = line.substr(eq + 1);
    const auto junk = [](char c) { return std::isspace(static_cast<unsigned char>(c)) || c == '[' || c == ']' || c == '"'; };
    value.erase(std::remove_if(value.begin(), value.end(), junk), value.end());
    // "7.7.0.1.238:8.1.RC1": the running version is behind the colon.
    return value.substr(value.rfind(':') + 1);
  }
  return {};
}

}  // namespace

Version Version::parse(std::string_view text) {
  Version v;
  v.text = text;
  const std::string s = lower(text);
  size_t at = 0;
  auto number = [&] {
    while (at < s.size() && !std::isdigit(static_cast<unsigned char>(s[at]))) ++at;
    int n = 0;
    for (; at < s.size() && std::isdigit(static_cast<unsigned char>(s[at])); ++at) n = std::min(n * 10 + (s[at] - '0'), 99999);
    return n;
  };
  v.major = number();
  v.minor = number();
  const std::string_view rest = std::string_view(s).substr(at);
  v.stage = rest.find("alpha") != rest.npos ? 0 : rest.find("beta") != rest.npos ? 1 : rest.find("rc") != rest.npos ? 2 : 3;
  v.patch = number();
  return v;
}

std::strong_ordering Version::operator<=>(const Version& o) const {
  return std::tie(major, minor, stage, patch) <=> std::tie(o.major, o.minor, o.stage, o.patch);
}

std::string version_from_files(const std::string& home) {
  if (home.empty()) return {};
  const std::vector<std::pair<const char*, const char*>> places = {
      {"version.cfg", "version"},
      {"toolkit/version.info", "version"},
      {"x86_64-linux/ascend_toolkit_install.info", "version"},
      {"aarch64-linux/ascend_toolkit_install.info", "version"},
      {"version.cfg", "toolkit_running_version"},
      {"runtime/version.info", "version"},
      {"compiler/version.info", "version"},
      {"opp/version.info", "version"},
  };
  for (const auto& [file, key] : places) {
    std::string value = read_key(home + "/" + file, key);
    if (!value.empty()) return value;
  }
  return {};
}

const Version& version() {
  static const Version found = [] {
    aclCANNPackageVersion answer{};
    if (aclsysGetCANNVersion.available() && aclsysGetCANNVersion(ACL_PKG_NAME_CANN, &answer) == ACL_SUCCESS) {
      answer.version[sizeof answer.version - 1] = '\0';
      if (answer.version[0] != '\0') return Version::parse(answer.version);
    }
    return Version::parse(version_from_files(installation().home));
  }();
  return found;
}

}  // namespace torch_npu::cann
