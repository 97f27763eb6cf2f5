// The way to CANN for the rest of the adapter: typed symbols found by name at run time, error codes turned into exceptions.
//
//     cann::aclrtMalloc(&p, bytes, ACL_MEM_MALLOC_HUGE_FIRST)      // raises if the symbol is missing; returns the code
//     NPU_CHECK(cann::aclrtFree(p));                               // raises a typed exception if the code is not 0
//     if (cann::aclrtMallocAlign32.available()) ...                // optional symbols: ask first
#pragma once

#include <c10/util/Exception.h>

#include <string>

#include "cann/symbols.h"  // generated from abi/: one `inline Symbol<signature> name` per function the adapter uses

namespace torch_npu::cann {

// Raises the Python-visible exception class for `code` (c10::OutOfMemoryError for memory codes, NPUError subclasses else)
// with: what was called, code, its name, a one-line cause, CANN's own message.
[[noreturn]] void raise(int code, const char* call, const char* file_independent_context = nullptr);

inline void check(int code, const char* call) {
  if (C10_UNLIKELY(code != 0)) raise(code, call);
}

}  // namespace torch_npu::cann

#define NPU_CHECK(call) ::torch_npu::cann::check((call), #call)
