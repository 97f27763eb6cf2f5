// Pinned tensors: factory functions of old torch ask CUDA alone for pinned memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace torch_compat {

inline at::Tensor empty_pinned(int64_t n, at::ScalarType dtype) {
#if TORCH_NPU_TORCH_VERSION < 20300
  return at::empty({n}, dtype).pin_memory(c10::kPrivateUse1);
#else
  return at::empty({n}, at::TensorOptions().pinned_memory(true).dtype(dtype));
#endif
}

}  // namespace torch_compat
