// Settings of the device allocator. The keys shared by all devices are parsed and kept by c10; here are validation (a
// sentence for each mistake, before anything is changed), the keys c10 does not know, and the environment variables.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "cann/export.h"

namespace torch_npu::memory {

struct Settings {
  size_t large_segment_bytes = 20u << 20;
  size_t expandable_granule_bytes = 20u << 20;
  size_t max_split_bytes = std::numeric_limits<size_t>::max();
  size_t max_non_split_rounding_bytes = std::numeric_limits<size_t>::max();
  std::vector<size_t> roundup_divisions;  // by power of two from 1 MiB; empty: no rounding beyond 512 bytes
  double garbage_collection_threshold = 0;
  std::optional<double> memory_fraction;  // unset: as before
  bool expandable_segments = false;
  bool lazy_reclaim = false;            // look for finished cross-stream uses only when no free block fits
  bool throw_on_malloc_failure = false;  // raise at once instead of giving cached memory back and trying again
  bool release_lock_on_malloc = false;
  bool caching = true;
};

// Raises ValueError with one sentence that names the key, what it was and what is allowed.
TORCH_NPU_API void validate_settings(const std::string& text);

// Validates `text` ("key:value,key:value"), gives it to c10 and applies it to every device's cache.
TORCH_NPU_API void set_allocator_settings(const std::string& text);

// The settings in force. The first call reads PYTORCH_NPU_ALLOC_CONF or PYTORCH_ALLOC_CONF and raises if they are wrong.
Settings load_settings();

}  // namespace torch_npu::memory
