// Error reporting shared by all softcann libraries.
#pragma once

#include <cstdint>
#include <string>

namespace softcann {

// Stores the text that aclGetRecentErrMsg() hands to the calling thread, and returns `code`, so a check reads
//     if (devPtr == nullptr) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMalloc: devPtr is null");
// The message names the function, the parameter, what it was and what is allowed. The newest message wins.
[[gnu::format(printf, 2, 3), gnu::visibility("default")]] int fail(int code, const char* format, ...);

// UNSUPPORTED: the function exists in CANN, softcann does not have it. Counted; answers ACL_ERROR_FEATURE_UNSUPPORTED
// for runtime functions (each library passes its own "not supported" code).
[[gnu::visibility("default")]] int unsupported(const char* function, int code);

// How often unsupported functions were called: one of them, or all of them (nullptr).
[[gnu::visibility("default")]] uint64_t unsupported_calls(const char* function);

// The calling thread's message, for handing it to another thread (a stream's pending error) and back.
[[gnu::visibility("default")]] const std::string& recent_error();
[[gnu::visibility("default")]] std::string take_error();
[[gnu::visibility("default")]] void restore_error(std::string message);

// The code of the calling thread's newest fail(), 0 if there was none (aclrtGetLastError).
[[gnu::visibility("default")]] int recent_code();
[[gnu::visibility("default")]] void set_recent_code(int code);

}  // namespace softcann
