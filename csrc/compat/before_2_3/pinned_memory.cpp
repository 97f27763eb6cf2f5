// Tensor.pin_memory("npu") and is_pinned("npu"): torch asked operators of the device for what it later asks the hooks.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "compat/compat.h"
#include "memory/allocators.h"

namespace torch_npu {
namespace {

bool is_pinned(const at::Tensor& self, optional<at::Device>) { return self.is_cpu() && is_pinned_ptr(self.storage().data()); }

at::Tensor pin_memory(const at::Tensor& self, optional<at::Device>) {
  TORCH_CHECK(self.is_cpu() && self.layout() == at::kStrided, "cannot pin '", self.toString(), "': only dense CPU tensors can be pinned");
  const at::Tensor pinned = at::detail::empty_strided_generic(self.sizes(), self.strides(), host_allocator(),
                                                              c10::DispatchKeySet(c10::DispatchKey::CPU), self.scalar_type());
  return pinned.copy_(self);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("is_pinned", &is_pinned);
  m.impl("_pin_memory", &pin_memory);
}

}  // namespace
}  // namespace torch_npu
