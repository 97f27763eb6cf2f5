// How the matrix engine may compute in float32: torch.npu.matmul and torch.npu.conv.
#pragma once

#include <cstdint>

#include "cann/export.h"

namespace torch_npu::ops {

int64_t matmul_math_type() noexcept;
int64_t conv_math_type() noexcept;

// CANN's cubeMathType: 0 keeps the input precision, 1 allows less, 2 float16, 3 HF32, 4 sums in float32. 0 until set.
TORCH_NPU_API void set_matmul_math_type(int64_t type) noexcept;
TORCH_NPU_API void set_conv_math_type(int64_t type) noexcept;

}  // namespace torch_npu::ops
