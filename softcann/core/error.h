// Error reporting shared by all softcann libraries.
#pragma once

namespace softcann {

// Stores the text that aclGetRecentErrMsg() hands to the calling thread, and returns `code`, so a check reads
//     if (devPtr == nullptr) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMalloc: devPtr is null");
// The message names the function, the parameter, what it was and what is allowed.
[[gnu::format(printf, 2, 3), gnu::visibility("default")]] int fail(int code, const char* format, ...);

// UNSUPPORTED: the function exists in CANN, softcann does not have it. Counted; answers ACL_ERROR_FEATURE_UNSUPPORTED
// for runtime functions (each library passes its own "not supported" code).
[[gnu::visibility("default")]] int unsupported(const char* function, int code);

}  // namespace softcann
