// What the operators on CANN's flash attention share.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>

#include "ops/expressions.h"

namespace torch_npu::ops {

constexpr int64_t kLargestHead = 768, kMostHeads = 256;  // documented limits of aclnnFlashAttentionScore
constexpr int64_t kCompressedMask = 2048;                // the mask's size where a sparse mode gives its meaning
constexpr int64_t kUnlimited = std::numeric_limits<int32_t>::max();
enum SparseMode : int64_t { kGivenMask = 0, kCausalFromTopLeft = 2, kCausalFromBottomRight = 3, kBand = 4 };

// One bit for each of `scores` scores, 0 with probability p: what aclnnFlashAttentionScore calls dropMask. Undefined if nothing is dropped.
at::Tensor dropout_bits(const at::Tensor& query, int64_t scores, double p, Philox random, const char* op);

}  // namespace torch_npu::ops
