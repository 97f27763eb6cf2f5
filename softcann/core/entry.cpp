#include "softcann/core/entry.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "softcann/core/error.h"
#include "softcann/core/error_names.h"

namespace softcann {

std::atomic<unsigned> watching{0};

void watch(Watch what, bool on) {
  if (on) {
    watching.fetch_or(what);
  } else {
    watching.fetch_and(~static_cast<unsigned>(what));
  }
}

namespace {

thread_local int depth = 0;

// Reads the environment when the library is loaded, so that the fast path needs no "is it configured yet".
struct Configuration {
  Configuration() {
    apply("SOFTCANN_TRACE", &trace::configure);
    apply("SOFTCANN_FAULT", &fault::configure);
  }

  static void apply(const char* variable, std::string (*configure)(const std::string&)) {
    const char* value = getenv(variable);
    if (value == nullptr) return;
    const std::string problem = configure(value);
    if (!problem.empty()) fprintf(stderr, "softcann: %s\n", problem.c_str());
  }
} configuration;

}  // namespace

Entry::Record* Entry::begin(const char* function, int fault_code, unsigned what) {
  ++depth;
  return new Record{function, fault_code, what, trace::now(), "", "", ""};
}

void Entry::end(Record* record) {
  --depth;
  if (record->what & kTrace) {
    char head[96];
    snprintf(head, sizeof(head), "softcann %.6f tid %ld %*s", record->started, syscall(SYS_gettid), 2 * depth, "");
    char duration[48];
    snprintf(duration, sizeof(duration), ", %.1f us", (trace::now() - record->started) * 1e6);
    std::string line = std::string(head) + record->function + '(' + record->arguments + ')';
    if (!record->result.empty()) line += " = " + record->result;
    line += duration;
    if (!record->outputs.empty()) line += " -> " + record->outputs;
    trace::write(line);
  }
  delete record;
}

void Entry::next(std::string& list, const char* name) {
  if (!list.empty()) list += ", ";
  list += name;
  list += '=';
}

void Entry::describe_status(Record& record, int status, const char* family) {
  const char* name = error_name(status, family);
  record.result = name != nullptr ? name : std::to_string(status);
  if (status == 0) return;
  if (name != nullptr) record.result += " (" + std::to_string(status) + ")";
  if (!recent_error().empty()) {
    record.result += ' ';
    trace::append(record.result, recent_error().c_str());
  }
}

}  // namespace softcann
