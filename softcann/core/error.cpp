#include "softcann/core/error.h"

#include <cstdarg>
#include <cstdio>
#include <map>
#include <mutex>

#include "softcann/api_ascendcl.h"

namespace softcann {
namespace {

thread_local std::string recent;
thread_local int last_code = 0;

struct UnsupportedCalls {
  std::mutex mutex;
  std::map<std::string, uint64_t> counts;
};

UnsupportedCalls& unsupported_table() {
  static auto* table = new UnsupportedCalls;  // entries may be called while the process exits
  return *table;
}

}  // namespace

int fail(int code, const char* format, ...) {
  last_code = code;
  char buffer[1024];
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  const int length = vsnprintf(buffer, sizeof(buffer), format, args);
  va_end(args);
  if (length < 0) {
    recent = format;
  } else if (static_cast<size_t>(length) < sizeof(buffer)) {
    recent.assign(buffer, static_cast<size_t>(length));
  } else {
    recent.resize(static_cast<size_t>(length));
    vsnprintf(recent.data(), recent.size() + 1, format, again);
  }
  va_end(again);
  return code;
}

int unsupported(const char* function, int code) {
  auto& table = unsupported_table();
  {
    std::lock_guard<std::mutex> lock(table.mutex);
    ++table.counts[function];
  }
  return fail(code, "%s: softcann has no implementation of this function (code %d)", function, code);
}

uint64_t unsupported_calls(const char* function) {
  auto& table = unsupported_table();
  std::lock_guard<std::mutex> lock(table.mutex);
  if (function != nullptr) {
    const auto found = table.counts.find(function);
    return found == table.counts.end() ? 0 : found->second;
  }
  uint64_t sum = 0;
  for (const auto& [name, count] : table.counts) sum += count;
  return sum;
}

const std::string& recent_error() { return recent; }

std::string take_error() {
  std::string message;
  message.swap(recent);
  return message;
}

void restore_error(std::string message) { recent = std::move(message); }

int recent_code() { return last_code; }

void set_recent_code(int code) { last_code = code; }

// CANN keeps the text alive until the thread asks again. Without an error the text is empty: clients print it unchecked.
const char* api::aclGetRecentErrMsg() {
  thread_local std::string handed_out;
  handed_out = take_error();
  return handed_out.c_str();
}

uint64_t api::softcannUnsupportedCalls(const char* function) { return unsupported_calls(function); }

}  // namespace softcann
