// Discrete Fourier transforms as products with DFT matrices: CANN has no transform of its own.
#pragma once

#include <ATen/core/Tensor.h>

namespace torch_npu::ops {

// Single precision only (CANN's matrix products), and no prime factor so large that its matrix would fill the memory.
bool fft_is_native(const at::Tensor& self, at::IntArrayRef dim, int64_t last_dim_size = 1);
at::Tensor fft_c2c(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization, bool forward);
at::Tensor fft_r2c(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization, bool onesided);
at::Tensor fft_c2r(const at::Tensor& self, at::IntArrayRef dim, int64_t normalization, int64_t last_dim_size);

}  // namespace torch_npu::ops
