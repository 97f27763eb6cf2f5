// Tensors without contents. Hand-written: these allocate and launch nothing.
#include "ops/factory.h"

#include <ATen/EmptyTensor.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/fill.h>
#include <torch/library.h>

#include <limits>

#include "compat/deterministic.h"
#include "memory/allocators.h"
#include "ops/common.h"

namespace torch_npu::ops {
namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

void check_options(optional<at::Layout> layout, optional<at::Device> device, optional<bool> pin_memory) {
  TORCH_CHECK(c10::layout_or_default(layout) == at::kStrided, "npu tensors are strided; layout ",
              c10::layout_or_default(layout), " is not supported on npu");
  TORCH_CHECK(!c10::pinned_memory_or_default(pin_memory), "Only dense CPU tensors can be pinned");
  if (device.has_value()) {
    TORCH_INTERNAL_ASSERT(device->type() == c10::kPrivateUse1, "an npu factory function was called for ", *device);
  }
}

// torch.use_deterministic_algorithms(True) asks for NaN or the largest integer in fresh memory.
at::Tensor fill_if_deterministic(at::Tensor t) {
  if (C10_UNLIKELY(torch_compat::fills_fresh_memory()) && t.numel() != 0) {
    if (t.is_floating_point() || t.is_complex()) t.fill_(std::numeric_limits<double>::quiet_NaN());
    else if (t.scalar_type() == at::kBool) t.fill_(true);
    else torch_compat::fill_fresh_integers(t);
  }
  return t;
}

at::Tensor empty_memory_format(at::IntArrayRef size, optional<at::ScalarType> dtype, optional<at::Layout> layout,
                               optional<at::Device> device, optional<bool> pin_memory,
                               optional<at::MemoryFormat> format) {
  check_options(layout, device, pin_memory);
  const DeviceScope scope(device.value_or(at::Device(at::kPrivateUse1)));
  return fill_if_deterministic(
      at::detail::empty_generic(size, device_allocator(), kKeys, c10::dtype_or_default(dtype), format));
}

at::Tensor empty_strided_npu(at::IntArrayRef size, at::IntArrayRef stride, optional<at::ScalarType> dtype,
                             optional<at::Layout> layout, optional<at::Device> device,
                             optional<bool> pin_memory) {
  check_options(layout, device, pin_memory);
  const DeviceScope scope(device.value_or(at::Device(at::kPrivateUse1)));
  return fill_if_deterministic(
      at::detail::empty_strided_generic(size, stride, device_allocator(), kKeys, c10::dtype_or_default(dtype)));
}

// Autograd's "all zeros, not stored": the ZeroTensor key takes care of what is done with it.
at::Tensor efficientzerotensor(at::IntArrayRef size, optional<at::ScalarType> dtype, optional<at::Layout> layout,
                               optional<at::Device> device, optional<bool> pin_memory) {
  check_options(layout, device, pin_memory);
  const at::Device where = c10::device_or_default(device);
  at::native::ZeroTensorAllocator allocator(where.has_index() ? where : at::Device(at::kPrivateUse1, current_device()));
  return at::detail::empty_generic(size, &allocator, kKeys | c10::DispatchKeySet(c10::DispatchKey::ZeroTensor),
                                   c10::dtype_or_default(dtype), nullopt);
}

}  // namespace

at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype) {
  return at::detail::empty_generic(sizes, device_allocator(), kKeys, dtype, nullopt);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype) {
  return at::detail::empty_strided_generic(sizes, strides, device_allocator(), kKeys, dtype);
}

at::Tensor empty_for_output(at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options) {
  const auto dtype = c10::typeMetaToScalarType(options.dtype());
  if (!strides.empty()) return empty_strided(sizes, strides, dtype);
  return at::detail::empty_generic(sizes, device_allocator(), kKeys, dtype, options.memory_format_opt());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", TORCH_FN(empty_memory_format));
  m.impl("empty_strided", TORCH_FN(empty_strided_npu));
  m.impl("_efficientzerotensor", TORCH_FN(efficientzerotensor));
}

}  // namespace torch_npu::ops
