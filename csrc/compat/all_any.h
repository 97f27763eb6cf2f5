// all() and any() over several dimensions, which ATen has from 2.2 on.
#pragma once

#include <ATen/WrapDimUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/all.h>
#include <ATen/ops/any.h>

#if TORCH_NPU_TORCH_VERSION < 20200
namespace at {

template <class One>
Tensor& torch_compat_each_dim(Tensor& out, const Tensor& self, OptionalIntArrayRef dims, bool keepdim, One one) {
  Tensor result = self;
  for (int64_t d = self.dim(); d-- > 0;) {
    bool wanted = !dims.has_value() || dims->empty();
    for (size_t i = 0; !wanted && i < dims->size(); ++i) wanted = maybe_wrap_dim((*dims)[i], self.dim()) == d;
    if (wanted) result = one(result, d, keepdim);
  }
  return out.copy_(self.dim() == 0 ? one(result, 0, keepdim) : result);
}

inline Tensor& all_out(Tensor& out, const Tensor& self, OptionalIntArrayRef dims, bool keepdim) {
  return torch_compat_each_dim(out, self, dims, keepdim, [](const Tensor& t, int64_t d, bool keep) { return at::all(t, d, keep); });
}
inline Tensor& any_out(Tensor& out, const Tensor& self, OptionalIntArrayRef dims, bool keepdim) {
  return torch_compat_each_dim(out, self, dims, keepdim, [](const Tensor& t, int64_t d, bool keep) { return at::any(t, d, keep); });
}

}  // namespace at
#endif
