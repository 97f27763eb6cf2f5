// The way to CANN for the rest of the adapter: typed symbols found by name at run time, error codes turned into exceptions.
//
//     cann::aclrtMalloc(&p, bytes, ACL_MEM_MALLOC_HUGE_FIRST)      // raises if the symbol is missing; returns the code
//     NPU_CHECK(cann::aclrtFree(p));                               // raises a typed exception if the code is not 0
//     if (cann::aclrtMallocAlign32.available()) ...                // optional symbols: ask first
#pragma once

#include <c10/util/Exception.h>

#include "cann/error.h"
#include "cann/symbols.h"  // generated from abi/: one `inline Symbol<signature> name` per function the adapter uses

namespace torch_npu::cann {

inline void check(int code, const char* call) {
  if (C10_UNLIKELY(code != 0)) raise(code, call);
}

}  // namespace torch_npu::cann

#define NPU_CHECK(call) ::torch_npu::cann::check((call), #call)
