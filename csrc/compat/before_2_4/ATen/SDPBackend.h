// Kinds of scaled dot product attention.
#pragma once

#include <cstdint>

namespace at {

enum class SDPBackend : int32_t { error = -1, math = 0, flash_attention = 1, efficient_attention = 2, cudnn_attention = 3, overrideable = 4 };

}  // namespace at
