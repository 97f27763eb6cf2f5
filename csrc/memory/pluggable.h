// An allocator from outside in place of the caching one: two C functions of a user's library.
#pragma once

#include <sys/types.h>

#include "acl/acl.h"
#include "cann/export.h"

namespace torch_npu::memory {

struct Pluggable {
  using Allocate = void* (*)(ssize_t bytes, int device, aclrtStream stream);
  using Release = void (*)(void* address, ssize_t bytes, int device, aclrtStream stream);
  Allocate allocate;
  Release release;
};

// From now on every tensor's memory comes from `functions`; raises if the caching allocator has been used already.
TORCH_NPU_API void use_pluggable(Pluggable functions);
// Null while the caching allocator is in use.
TORCH_NPU_API const Pluggable* pluggable() noexcept;

}  // namespace torch_npu::memory
