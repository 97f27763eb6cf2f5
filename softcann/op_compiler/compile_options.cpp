// Compile options of single operators. softcann compiles nothing: options are checked, kept and handed back.
#include <array>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include "softcann/api_acl_op_compiler.h"
#include "softcann/core/error.h"

namespace softcann {
namespace {

struct Option {
  const char* name;
  const char* initial;
  const char* allowed;  // words separated by |, nullptr = anything
};

// Indexed by aclCompileOpt. Initial values are those of an Atlas A2 device.
constexpr std::array kOptions = {
    Option{"ACL_PRECISION_MODE", "must_keep_origin_dtype", nullptr},
    Option{"ACL_AICORE_NUM", "", nullptr},
    Option{"ACL_AUTO_TUNE_MODE", "", nullptr},
    Option{"ACL_OP_SELECT_IMPL_MODE", "", "high_precision|high_performance"},
    Option{"ACL_OPTYPELIST_FOR_IMPLMODE", "", nullptr},
    Option{"ACL_OP_DEBUG_LEVEL", "0", "0|1|2|3|4"},
    Option{"ACL_DEBUG_DIR", "", nullptr},
    Option{"ACL_OP_COMPILER_CACHE_MODE", "enable", "enable|disable|force"},
    Option{"ACL_OP_COMPILER_CACHE_DIR", "", nullptr},
    Option{"ACL_OP_PERFORMANCE_MODE", "normal", "normal|high"},
    Option{"ACL_OP_JIT_COMPILE", "disable", "enable|disable"},
    Option{"ACL_OP_DETERMINISTIC", "0", "0|1"},
    Option{"ACL_CUSTOMIZE_DTYPES", "", nullptr},
    Option{"ACL_OP_PRECISION_MODE", "", nullptr},
    Option{"ACL_ALLOW_HF32", "", nullptr},
    Option{"ACL_PRECISION_MODE_V2", "", nullptr},
    Option{"ACL_OP_DEBUG_OPTION", "", nullptr},
};
static_assert(kOptions.size() == ACL_OP_DEBUG_OPTION + 1);

std::mutex mutex;

std::array<std::string, kOptions.size()>& values() {
  static auto* current = [] {
    auto* initial = new std::array<std::string, kOptions.size()>;
    for (size_t i = 0; i < kOptions.size(); ++i) (*initial)[i] = kOptions[i].initial;
    return initial;
  }();
  return *current;
}

bool is_allowed(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t end = words.find('|');
    if (words.substr(0, end) == word) return true;
    if (end == std::string_view::npos) return false;
    words.remove_prefix(end + 1);
  }
  return false;
}

int check_option(const char* function, aclCompileOpt opt) {
  if (opt < 0 || static_cast<size_t>(opt) >= kOptions.size()) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: opt is %d, allowed are 0 to %zu (aclCompileOpt)", function, static_cast<int>(opt),
                kOptions.size() - 1);
  }
  return ACL_SUCCESS;
}

}  // namespace

aclError api::aclSetCompileopt(aclCompileOpt opt, const char* value) {
  if (const int code = check_option("aclSetCompileopt", opt)) return code;
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclSetCompileopt: value of %s is null", kOptions[opt].name);
  if (kOptions[opt].allowed != nullptr && !is_allowed(kOptions[opt].allowed, value)) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclSetCompileopt: value of %s is \"%s\", allowed are %s", kOptions[opt].name, value,
                kOptions[opt].allowed);
  }
  std::lock_guard<std::mutex> lock(mutex);
  values()[opt] = value;
  return ACL_SUCCESS;
}

// With the terminating zero; 0 for an option that does not exist.
size_t api::aclGetCompileoptSize(aclCompileOpt opt) {
  if (check_option("aclGetCompileoptSize", opt) != ACL_SUCCESS) return 0;
  std::lock_guard<std::mutex> lock(mutex);
  return values()[opt].size() + 1;
}

aclError api::aclGetCompileopt(aclCompileOpt opt, char* value, size_t length) {
  if (const int code = check_option("aclGetCompileopt", opt)) return code;
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclGetCompileopt: value is null");
  std::lock_guard<std::mutex> lock(mutex);
  const std::string& current = values()[opt];
  if (length < current.size() + 1) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclGetCompileopt: length is %zu, %s takes %zu (aclGetCompileoptSize)", length,
                kOptions[opt].name, current.size() + 1);
  }
  memcpy(value, current.c_str(), current.size() + 1);
  return ACL_SUCCESS;
}

aclError api::aclopSetCompileFlag(aclOpCompileFlag flag) {
  if (flag != ACL_OP_COMPILE_DEFAULT && flag != ACL_OP_COMPILE_FUZZ) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclopSetCompileFlag: flag is %d, allowed are ACL_OP_COMPILE_DEFAULT (0) and "
                "ACL_OP_COMPILE_FUZZ (1)", static_cast<int>(flag));
  }
  return ACL_SUCCESS;
}

}  // namespace softcann
