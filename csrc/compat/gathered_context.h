// What allocators keep of where they were called from.
#pragma once

#include <c10/core/Allocator.h>

#if TORCH_NPU_TORCH_VERSION < 20100
namespace c10 {
struct GatheredContext {
  virtual ~GatheredContext() = default;
};
}  // namespace c10
#endif
