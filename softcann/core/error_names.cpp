#include "softcann/core/error_names.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace softcann {
namespace {

struct Name {
  int code;
  const char* family;
  const char* name;
};

constexpr Name kNames[] = {
#define ERROR_ENTRY(code, family, name, cause, hint) {code, family, name},
#include "cann/error_table.inc"
#undef ERROR_ENTRY
};

}  // namespace

const char* error_name(int code, const char* family) {
  const auto found = std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& entry) {
    return entry.code == code && strcmp(entry.family, family) == 0;
  });
  return found == std::end(kNames) ? nullptr : found->name;
}

}  // namespace softcann
