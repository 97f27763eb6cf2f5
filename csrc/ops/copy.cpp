// Copies between npu and CPU and between npu devices, and reading a single value. Hand-written: they choose between
// aclrtMemcpy, staging through pinned memory and aclnnInplaceCopy, and are the points where queue and stream are waited for.
#include <ATen/Dispatch_v2.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conj_physical.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <torch/library.h>

#include <cstring>

#include "cann/cann.h"
#include "device/event.h"
#include "device/runtime.h"
#include "device/sync_debug.h"
#include "launch/launch.h"
#include "launch/queue.h"
#include "memory/allocators.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/factory.h"
#include "ops/fallback_call.h"

namespace torch_npu::ops {
namespace {

using launch::Launch;

// Pageable host memory up to this size is staged through a pinned block, so that the copy need not wait for the stream.
constexpr size_t kStagedBytes = size_t{1} << 20;

void synchronize_current_stream(c10::DeviceIndex device, const char* what) {
  note_synchronization(what);
  synchronize_stream(current_stream(device));
}

// An integer type of the same size: copying within one dtype is copying bits.
at::ScalarType bits_of(at::ScalarType dtype) {
  switch (c10::elementSize(dtype)) {
    case 1: return at::kByte;
    case 2: return at::kShort;
    case 4: return at::kInt;
    default: return at::kLong;
  }
}

bool copied_by_cann(at::ScalarType dtype) { return launch::dtype_documented(aclnn::aclnnInplaceCopy, 1, dtype); }
bool cast_by_cann(at::ScalarType dtype) { return launch::dtype_documented(aclnn::aclnnCast, 0, dtype); }

void device_copy(const at::Tensor& dst, const at::Tensor& src);

// Types that aclnnInplaceCopy does not take (float8, complex32): bits within one dtype, aclnnCast between two, and the counted
// CPU fallback where CANN has no conversion.
[[gnu::cold]] void device_copy_of_rare_types(const at::Tensor& dst, const at::Tensor& src) {
  const at::ScalarType to = dst.scalar_type(), from = src.scalar_type();
  if (to == from) return device_copy(dst.view(bits_of(to)), src.view(bits_of(to)));
  if (!cast_by_cann(to) || !cast_by_cann(from)) {
    return device_copy(dst, fallback<at::Tensor(const at::Tensor&, const at::Tensor&, bool)>("aten::copy", "", dst, src, false));
  }
  const at::Tensor cast = dst.is_contiguous() ? dst : empty(dst.sizes(), to);
  Launch l(aclnn::aclnnCast, "aten::copy_");
  l.tensor(src);
  l.integer(to);
  l.tensor(cast);
  l.submit();
  if (!cast.is_same(dst)) device_copy(dst, cast);
}

void device_copy(const at::Tensor& dst, const at::Tensor& src) {
  if (C10_UNLIKELY(!copied_by_cann(dst.scalar_type()) || !copied_by_cann(src.scalar_type()))) {
    return device_copy_of_rare_types(dst, src);
  }
  Launch l(aclnn::aclnnInplaceCopy, "aten::copy_");
  l.tensor(dst);
  l.tensor(src);
  l.submit();
}

void enqueue_memcpy(void* dst, const void* src, size_t bytes, aclrtMemcpyKind kind, c10::Stream stream) {
  aclrtStream handle = stream_handle(stream);
  launch::push(stream.device_index(), "aclrtMemcpyAsync",
               [=] { NPU_CHECK(cann::aclrtMemcpyAsync(dst, bytes, src, bytes, kind, handle)); });
}

bool is_pinned_block(const at::Tensor& t) { return is_pinned_ptr(t.storage().data()); }

// The pinned block stays taken until `stream` has passed this point.
void record_pinned(const at::Tensor& t, c10::Stream stream) {
  host_allocator()->record_event(t.data_ptr(), t.storage().data_ptr().get_context(), stream);
}

// `host` and `device` are of one dtype and equal dense strides.
void host_to_device(const at::Tensor& device, const at::Tensor& host, bool non_blocking) {
  const size_t bytes = host.nbytes();
  const c10::DeviceIndex index = device.device().index();
  const c10::Stream stream = current_stream(index);
  if (is_pinned_block(host)) {
    enqueue_memcpy(device.data_ptr(), host.data_ptr(), bytes, ACL_MEMCPY_HOST_TO_DEVICE, stream);
    if (non_blocking) record_pinned(host, stream);
    else synchronize_current_stream(index, "a copy from pinned memory without non_blocking=True");
    return;
  }
  if (bytes <= kStagedBytes) {
    c10::DataPtr block = host_allocator()->allocate(bytes);
    std::memcpy(block.get(), host.data_ptr(), bytes);
    enqueue_memcpy(device.data_ptr(), block.get(), bytes, ACL_MEMCPY_HOST_TO_DEVICE, stream);
    host_allocator()->record_event(block.get(), block.get_context(), stream);
    return;
  }
  synchronize_current_stream(index, "a copy of more than 1 MiB from memory that is not pinned");
  NPU_CHECK(cann::aclrtMemcpy(device.data_ptr(), bytes, host.data_ptr(), bytes, ACL_MEMCPY_HOST_TO_DEVICE));
}

void device_to_host(const at::Tensor& host, const at::Tensor& device, bool non_blocking) {
  const size_t bytes = host.nbytes();
  const c10::DeviceIndex index = device.device().index();
  const c10::Stream stream = current_stream(index);
  if (non_blocking && is_pinned_block(host)) {
    enqueue_memcpy(host.data_ptr(), device.data_ptr(), bytes, ACL_MEMCPY_DEVICE_TO_HOST, stream);
    record_pinned(host, stream);
    return;
  }
  synchronize_current_stream(index, "a copy to the CPU");
  NPU_CHECK(cann::aclrtMemcpy(host.data_ptr(), bytes, device.data_ptr(), bytes, ACL_MEMCPY_DEVICE_TO_HOST));
}

bool same_dense_layout(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && ((a.is_contiguous() && b.is_contiguous()) ||
                                    (a.strides() == b.strides() && a.is_non_overlapping_and_dense()));
}

void copy_from_cpu(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  const DeviceScope scope(dst);
  // The CPU casts, so that values are what a CPU tensor of dst's dtype would hold.
  const at::Tensor host = src.scalar_type() == dst.scalar_type() ? src : src.to(dst.scalar_type());
  if (same_dense_layout(dst, host)) return host_to_device(dst, host, non_blocking);
  const at::Tensor packed = host.contiguous();
  const at::Tensor staged = empty(packed.sizes(), dst.scalar_type());
  host_to_device(staged, packed, non_blocking && packed.is_same(src));
  device_copy(dst, staged);
}

void copy_to_cpu(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  const DeviceScope scope(src);
  at::Tensor device = src;
  if (dst.scalar_type() == src.scalar_type() && same_dense_layout(dst, src)) {
    return device_to_host(dst, src, non_blocking);
  }
  if (!src.is_non_overlapping_and_dense()) {
    device = empty(src.sizes(), src.scalar_type());
    device_copy(device, src);
  }
  const at::Tensor host = at::empty_strided(device.sizes(), device.strides(), device.options().device(at::kCPU));
  device_to_host(host, device, false);
  dst.copy_(host);
}

void copy_between_devices(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  at::Tensor from = src;
  {
    const DeviceScope scope(src);
    if (dst.scalar_type() != src.scalar_type() || !src.is_contiguous()) {
      from = empty(src.sizes(), dst.scalar_type());
      device_copy(from, src);
    }
  }
  const c10::Stream source = current_stream(src.device().index());
  const DeviceScope scope(dst);
  const c10::Stream target = current_stream(dst.device().index());
  const at::Tensor to = dst.is_contiguous() ? dst : empty(dst.sizes(), dst.scalar_type());
  enable_peer_access(dst.device().index(), src.device().index());
  NPUEvent ready, done;
  ready.record(source);
  ready.block(target);
  enqueue_memcpy(to.data_ptr(), from.data_ptr(), to.nbytes(), ACL_MEMCPY_DEVICE_TO_DEVICE, target);
  // The source's memory may be reused by its own stream only after the copy.
  done.record(target);
  done.block(source);
  if (!to.is_same(dst)) device_copy(dst, to);
  if (!non_blocking) synchronize_current_stream(target.device_index(), "a copy between devices without non_blocking=True");
}

// The usual case, told by a few loads: on one device, nothing lazy, equal sizes, no memory in common, no element twice.
bool is_plain_device_copy(const at::Tensor& src, const at::Tensor& dst) {
  constexpr c10::DispatchKeySet lazy({c10::DispatchKey::Conjugate, c10::DispatchKey::Negative});
  return is_npu(src) && src.device() == dst.device() && !(src.key_set() | dst.key_set()).has_any(lazy) &&
         src.sizes() == dst.sizes() && dst.is_contiguous() && !dst.storage().is_alias_of(src.storage());
}

at::Tensor copy_from(const at::Tensor& src, const at::Tensor& dst, bool non_blocking) {
  if (dst.numel() == 0) return dst;
  if (C10_LIKELY(is_plain_device_copy(src, dst))) {
    const DeviceScope scope(dst);
    device_copy(dst, src);
    return dst;
  }
  at::assert_no_internal_overlap(dst);
  at::assert_no_partial_overlap(dst, src);
  // Lazy conjugation and negation are settled on the destination.
  if (src.is_conj() || dst.is_conj()) {
    const bool flip = src.is_conj() != dst.is_conj();
    const at::Tensor plain = dst.is_conj() ? dst.conj() : dst;
    plain.copy_(src.is_conj() ? src.conj() : src, non_blocking && !(flip && dst.is_cpu()));
    if (flip) plain.conj_physical_();
    return dst;
  }
  if (src.is_neg() || dst.is_neg()) {
    const bool flip = src.is_neg() != dst.is_neg();
    const at::Tensor plain = dst.is_neg() ? dst._neg_view() : dst;
    plain.copy_(src.is_neg() ? src._neg_view() : src, non_blocking && !(flip && dst.is_cpu()));
    if (flip) plain.neg_();
    return dst;
  }
  const at::Tensor from = src.sizes() == dst.sizes() ? src : src.expand(dst.sizes());
  if (from.is_cpu()) {
    copy_from_cpu(dst, from, non_blocking);
  } else if (dst.is_cpu()) {
    copy_to_cpu(dst, from, non_blocking);
  } else if (from.device() == dst.device()) {
    const DeviceScope scope(dst);
    device_copy(dst, from);
  } else {
    TORCH_CHECK(is_npu(from) && is_npu(dst), "cannot copy from ", from.device(), " to ", dst.device());
    copy_between_devices(dst, from, non_blocking);
  }
  return dst;
}

at::Tensor copy_from_and_resize(const at::Tensor& src, const at::Tensor& dst) {
  dst.resize_(src.sizes());
  return copy_from(src, dst, false);
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  const DeviceScope scope(self);
  alignas(16) std::byte value[16];
  synchronize_current_stream(self.device().index(), "reading a value, as Tensor.item() does");
  NPU_CHECK(cann::aclrtMemcpy(value, sizeof value, self.data_ptr(), self.itemsize(), ACL_MEMCPY_DEVICE_TO_HOST));
  at::Scalar result;
  AT_DISPATCH_V2(self.scalar_type(), "_local_scalar_dense", AT_WRAP([&] {
                   scalar_t v;
                   std::memcpy(&v, value, sizeof v);
                   result = at::Scalar(v);
                 }),
                 AT_EXPAND(AT_ALL_TYPES_AND_COMPLEX), at::kComplexHalf, at::kHalf, at::kBool, at::kBFloat16,
                 AT_EXPAND(AT_FLOAT8_TYPES), AT_EXPAND(AT_BAREBONES_UNSIGNED_TYPES));
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_copy_from", TORCH_FN(copy_from));
  m.impl("_copy_from_and_resize", TORCH_FN(copy_from_and_resize));
  m.impl("_local_scalar_dense", TORCH_FN(local_scalar_dense));
}

// torch's fallbacks for these keys would clone the source, which is a copy again, without end.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

}  // namespace torch_npu::ops
