#include "softcann/core/fault.h"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <vector>

#include "softcann/core/entry.h"
#include "softcann/core/error.h"

namespace softcann::fault {
namespace {

struct Rule {
  std::string function;  // without the trailing * of a prefix
  bool prefix;
  uint64_t first;
  bool onwards;
  std::optional<int> code;
  uint64_t seen;

  bool matches(const char* name) const {
    const std::string_view text(name);
    return prefix ? text.substr(0, function.size()) == function : text == function;
  }
};

std::mutex mutex;
std::vector<Rule>& rules() {
  static auto* table = new std::vector<Rule>;
  return *table;
}

// A whole number, or nothing if there is anything else in `text`.
std::optional<uint64_t> number(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::strtoull(text.c_str(), nullptr, 10);
}

std::optional<Rule> parse(const std::string& text) {
  const size_t first_colon = text.find(':');
  if (first_colon == std::string::npos || first_colon == 0) return std::nullopt;
  const size_t second_colon = text.find(':', first_colon + 1);
  Rule rule{text.substr(0, first_colon), false, 0, false, std::nullopt, 0};
  if (rule.function.back() == '*') {
    rule.function.pop_back();
    rule.prefix = true;
  }
  std::string n = text.substr(first_colon + 1, second_colon == std::string::npos ? std::string::npos
                                                                                  : second_colon - first_colon - 1);
  if (!n.empty() && n.back() == '+') {
    n.pop_back();
    rule.onwards = true;
  }
  const auto first = number(n);
  if (!first || *first == 0) return std::nullopt;
  rule.first = *first;
  if (second_colon != std::string::npos) {
    const auto code = number(text.substr(second_colon + 1));
    if (!code) return std::nullopt;
    rule.code = static_cast<int>(*code);
  }
  return rule;
}

}  // namespace

std::string configure(const std::string& text) {
  std::vector<Rule> parsed;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    auto rule = parse(part);
    if (!rule) return "SOFTCANN_FAULT: \"" + part + "\" is not function:n, function:n+ or function:n:code (n counts from 1)";
    parsed.push_back(std::move(*rule));
    begin = end + 1;
  }
  std::lock_guard<std::mutex> lock(mutex);
  rules() = std::move(parsed);
  watch(kFault, !rules().empty());
  return "";
}

bool hit(const char* function, int* code) {
  std::lock_guard<std::mutex> lock(mutex);
  bool failing = false;
  for (auto& rule : rules()) {
    if (!rule.matches(function)) continue;
    ++rule.seen;
    if (rule.seen == rule.first || (rule.onwards && rule.seen > rule.first)) {
      failing = true;
      if (rule.code) *code = *rule.code;
      fail(*code, "%s: call %llu failed on request of SOFTCANN_FAULT", function, static_cast<unsigned long long>(rule.seen));
    }
  }
  return failing;
}

}  // namespace softcann::fault
