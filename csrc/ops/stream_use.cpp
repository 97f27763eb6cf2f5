// Tensor.record_stream. Hand-written: it tells the allocator and launches nothing.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "memory/allocators.h"

namespace torch_npu::ops {
namespace {

void record_stream(at::Tensor& self, c10::Stream stream) {
  device_allocator()->recordStream(self.storage().data_ptr(), stream);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) { m.impl("record_stream", TORCH_FN(record_stream)); }

}  // namespace torch_npu::ops
