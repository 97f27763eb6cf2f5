// Views, set_ and resize_: they change only how a tensor looks at its storage. Hand-written: nothing is launched.
#include <ATen/EmptyTensor.h>
#include <ATen/ExpandUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "memory/allocators.h"
#include "memory/storage.h"
#include "ops/common.h"

namespace torch_npu::ops {
namespace {

void ensure_storage(at::TensorImpl* self, size_t bytes) {
  const c10::Storage& storage = self->unsafe_storage();
  if (!storage) {
    self->set_storage_keep_dtype(c10::Storage(c10::make_intrusive<c10::StorageImpl>(
        c10::StorageImpl::use_byte_size_t(), bytes, device_allocator()->allocate(bytes), device_allocator(), true)));
  } else if (bytes > storage.nbytes()) {
    resize_storage_bytes(storage.unsafeGetStorageImpl(), bytes);
  }
}

void resize_impl(at::TensorImpl* self, at::IntArrayRef size, at::OptionalIntArrayRef stride) {
  if (self->sizes() == size && (!stride || self->strides() == *stride)) return;
  const auto itemsize = self->dtype().itemsize();
  const auto offset = static_cast<size_t>(self->storage_offset());
  if (stride) self->set_sizes_and_strides(size, *stride);
  else self->set_sizes_contiguous(size);
  if (self->numel() == 0) return;
  ensure_storage(self, stride ? at::detail::computeStorageNbytes(size, *stride, itemsize, offset)
                              : at::detail::computeStorageNbytesContiguous(size, itemsize, offset));
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size, optional<at::MemoryFormat> format) {
  const DeviceScope scope(self);
  resize_impl(self.unsafeGetTensorImpl(), size, nullopt);
  if (format.has_value()) {
    TORCH_CHECK(*format != at::MemoryFormat::Preserve, "Unsupported memory format ", *format);
    self.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  }
  return self;
}

at::Tensor& set_storage_offset(at::Tensor& self, at::Storage source, int64_t offset, at::IntArrayRef size, at::IntArrayRef stride) {
  at::native::checkSetStorage(self, std::move(source), offset, size, stride);
  self.unsafeGetTensorImpl()->set_storage_offset(offset);
  resize_impl(self.unsafeGetTensorImpl(), size, stride.data() ? at::OptionalIntArrayRef(stride) : nullopt);
  return self;
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source) {
  const auto elements = static_cast<int64_t>(source.nbytes() / self.dtype().itemsize());
  return set_storage_offset(self, std::move(source), 0, elements, {});
}

at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
  if (self.unsafeGetTensorImpl() == source.unsafeGetTensorImpl()) return self;
  return set_storage_offset(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

at::Tensor& set_nothing(at::Tensor& self) {
  const DeviceScope scope(self);
  return set_storage_offset(
      self, at::Storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), 0, device_allocator(), true)), 0, {0}, {});
}

// x.data = y and module.to() in place: any two plain npu or CPU tensors may exchange their insides.
bool has_compatible_shallow_copy_type(const at::Tensor& self, const at::Tensor& from) {
  const auto fits = [&](const at::Tensor& t) {
    const auto keys = t.key_set();
    return keys.has(c10::DispatchKey::Dense) && (keys.has_backend(c10::BackendComponent::PrivateUse1Bit) ||
                                                 keys.has_backend(c10::BackendComponent::CPUBit));
  };
  return fits(self) && fits(from);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("unfold", TORCH_FN(at::native::unfold));
  m.impl("view_as_real", TORCH_FN(at::native::view_as_real));
  m.impl("view_as_complex", TORCH_FN(at::native::view_as_complex));
  m.impl("resize_", TORCH_FN(resize_));
  m.impl("set_.source_Storage", TORCH_FN(set_storage));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage_offset));
  m.impl("set_.source_Tensor", TORCH_FN(set_tensor));
  m.impl("set_", TORCH_FN(set_nothing));
  m.impl("_has_compatible_shallow_copy_type", TORCH_FN(has_compatible_shallow_copy_type));
}

}  // namespace torch_npu::ops
