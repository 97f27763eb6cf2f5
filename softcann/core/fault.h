// Fault injection: SOFTCANN_FAULT="function:n[:code],..." makes the n-th call of a function fail.
//     aclrtMalloc:3:207001      the third allocation answers "out of memory"
//     aclnn*:1+                 every operator call from the first one on; without a code, the library's internal error
#pragma once

#include <string>

namespace softcann::fault {

// True if this call of `function` is to fail; `code` is then the code asked for, or unchanged if none was.
[[gnu::visibility("default")]] bool hit(const char* function, int* code);

// Replaces the rules (tests); an empty text removes all. Returns a sentence about what is wrong with `text`, or "".
[[gnu::visibility("default")]] std::string configure(const std::string& text);

}  // namespace softcann::fault
