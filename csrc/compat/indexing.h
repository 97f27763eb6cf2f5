// The indices of x[...] as tensors of integers on the device of x.
#pragma once

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/IndexingUtils.h>

#include <vector>

namespace torch_compat {

inline std::vector<at::Tensor> expand_indices(const at::Tensor& self, at::IOptTensorListRef indices) {
#if TORCH_NPU_TORCH_VERSION < 20300
  std::vector<at::Tensor> expanded = at::native::expandTensors(self, indices);
  for (at::Tensor& index : expanded) {
    if (index.defined() && index.device() != self.device()) index = index.to(self.device());
  }
  return expanded;
#else
  return at::native::expandTensors(self, indices, /*ensure_same_device=*/true);
#endif
}

}  // namespace torch_compat
