// Composites of ATen that read the memory of any device as the host's, or call kernels of the CPU and CUDA by name.
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_eig.h>
#include <ATen/ops/nanmean.h>
#include <torch/library.h>

#include "compat/compat.h"
#include "ops/rules.h"

namespace torch_npu::ops {
namespace {

at::Tensor eigenvalues(const at::Tensor& self) { return std::get<0>(at::linalg_eig(self)); }

at::Tensor& eigenvalues_out(const at::Tensor& self, at::Tensor& out) {
  store_result(out, eigenvalues(self));
  return out;
}

at::Tensor& nanmean_out(const at::Tensor& self, at::OptionalIntArrayRef dim, bool keepdim, optional<at::ScalarType> dtype, at::Tensor& out) {
  store_result(out, at::nanmean(self, dim, keepdim, dtype));
  return out;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("linalg_eigvals", &eigenvalues);
  m.impl("linalg_eigvals.out", &eigenvalues_out);
  m.impl("nanmean.out", &nanmean_out);
}

// It has no derivative of its own.
TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) { m.impl("linalg_eigvals", &eigenvalues); }

}  // namespace
}  // namespace torch_npu::ops
