// What torch.npu.matmul and torch.npu.conv were set to: state, and no operator.
#include "ops/cube_math.h"

#include <atomic>

namespace torch_npu::ops {
namespace {

std::atomic<int64_t> of_matmul{0}, of_conv{0};

}  // namespace

int64_t matmul_math_type() noexcept { return of_matmul.load(std::memory_order_relaxed); }
int64_t conv_math_type() noexcept { return of_conv.load(std::memory_order_relaxed); }
void set_matmul_math_type(int64_t type) noexcept { of_matmul = type; }
void set_conv_math_type(int64_t type) noexcept { of_conv = type; }

}  // namespace torch_npu::ops
