#include "softcann/core/trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "softcann/core/entry.h"

namespace softcann::trace {
namespace {

std::atomic<int> descriptor{-1};
std::chrono::steady_clock::time_point start;

template <class... Args>
void append_formatted(std::string& out, const char* format, Args... args) {
  char buffer[64];
  out.append(buffer, static_cast<size_t>(snprintf(buffer, sizeof(buffer), format, args...)));
}

}  // namespace

void append(std::string& out, const char* text) {
  constexpr size_t kLongest = 1000;
  if (text == nullptr) {
    out += "null";
    return;
  }
  const size_t length = strnlen(text, kLongest + 1);
  out += '"';
  for (size_t i = 0; i < std::min(length, kLongest); ++i) {
    const char c = text[i];
    if (c == '\n') {
      out += "\\n";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  out += length > kLongest ? "\"..." : "\"";
}

void append(std::string& out, const void* pointer) {
  if (pointer == nullptr) {
    out += "null";
  } else {
    append_formatted(out, "0x%" PRIxPTR, reinterpret_cast<uintptr_t>(pointer));
  }
}

void append(std::string& out, long long value) { append_formatted(out, "%lld", value); }
void append(std::string& out, unsigned long long value) { append_formatted(out, "%llu", value); }
void append(std::string& out, double value) { append_formatted(out, "%g", value); }

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

void write(const std::string& line) {
  const int fd = descriptor.load(std::memory_order_acquire);
  if (fd < 0) return;
  // One write() per line: lines of several threads and processes do not mix in a file opened for appending.
  std::string text = line + '\n';
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) return;
    if (n > 0) done += static_cast<size_t>(n);
  }
}

std::string configure(const std::string& target) {
  int fd = -1;
  if (target == "1" || target == "stderr") {
    fd = STDERR_FILENO;
  } else if (!target.empty() && target != "0") {
    fd = open(target.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return "SOFTCANN_TRACE: cannot open \"" + target + "\" for writing: " + strerror(errno);
  }
  start = std::chrono::steady_clock::now();
  const int old = descriptor.exchange(fd, std::memory_order_acq_rel);
  if (old > STDERR_FILENO) close(old);
  watch(kTrace, fd >= 0);
  return "";
}

}  // namespace softcann::trace
