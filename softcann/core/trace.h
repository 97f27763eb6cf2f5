// Call log: SOFTCANN_TRACE=1 or stderr, or the name of a file. One line per call, written when it returns:
//     softcann 0.001234 tid 4711 aclrtMalloc(devPtr=0x7ffd10, size=512, policy=ACL_MEM_MALLOC_HUGE_FIRST) = ACL_SUCCESS, 3.1 us
// The arguments' text is made before the call, what functions give back through pointers is appended after it.
#pragma once

#include <cstdint>
#include <string>

namespace softcann::trace {

// Name of an enumerator, or nullptr; the generated enum_names.h specialises it for CANN's enums.
template <class T>
const char* enumerator(T) {
  return nullptr;
}

[[gnu::visibility("default")]] void append(std::string& out, const char* text);   // quoted; null safe
[[gnu::visibility("default")]] void append(std::string& out, const void* pointer);
[[gnu::visibility("default")]] void append(std::string& out, long long value);
[[gnu::visibility("default")]] void append(std::string& out, unsigned long long value);
[[gnu::visibility("default")]] void append(std::string& out, double value);

// One line to the log.
[[gnu::visibility("default")]] void write(const std::string& line);

// Turns the log on ("1", "stderr", a file name) or off (""). Returns a sentence about what is wrong, or "".
[[gnu::visibility("default")]] std::string configure(const std::string& target);

// Seconds since the log was turned on.
[[gnu::visibility("default")]] double now();

}  // namespace softcann::trace
