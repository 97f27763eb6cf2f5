#include "ops/shape_expressions.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/native/Resize.h>

namespace torch_npu::ops {

DimVector repeated(const at::Tensor& self, IntArrayRef repeats) {
  TORCH_CHECK(static_cast<int64_t>(repeats.size()) >= self.dim(),
              "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
  const size_t added = repeats.size() - self.dim();
  DimVector sizes(repeats);
  for (int64_t d = 0; d < self.dim(); ++d) sizes[added + d] *= self.size(d);
  for (int64_t size : sizes) {
    TORCH_CHECK(size >= 0, "Trying to create tensor with negative dimension ", size, ": ", IntArrayRef(sizes));
  }
  return sizes;
}

void resize_to_parts(const at::Tensor& self, IntArrayRef sizes, int64_t dim, at::TensorList out) {
  const auto parts = self.split_with_sizes(sizes, dim);
  TORCH_CHECK(out.size() == parts.size(), "split_with_sizes_copy_out expected an out= argument of size ", parts.size(),
              ", got size ", out.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    TORCH_CHECK(out[i].dtype() == self.dtype(), "Expected out tensor to have dtype ", self.dtype(), ", but got ",
                out[i].dtype(), " instead");
    TORCH_CHECK(out[i].device() == self.device(), "Expected out tensor to have device ", self.device(), ", but got ",
                out[i].device(), " instead");
    at::native::resize_output(out[i], parts[i].sizes());
  }
}

}  // namespace torch_npu::ops
