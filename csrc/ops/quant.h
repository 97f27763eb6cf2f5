// Fake quantisation and products of quantised matrices. Rows of quant.yaml use these.
#pragma once

#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fake_quantize_learnable_per_channel_affine_native.h>
#include <ATen/ops/_fake_quantize_learnable_per_tensor_affine_native.h>
#include <ATen/ops/full.h>

#include <tuple>

#include "compat/compat.h"
#include "ops/common.h"

namespace torch_npu::ops {

using OptionalTensor = optional<at::Tensor>;

// ---- fake quantisation ----------------------------------------------------------------------------------------------
void check_fake_quantize(int64_t zero_point, int64_t quant_min, int64_t quant_max);
void check_fake_quantize_per_channel(const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point, int64_t axis,
                                     int64_t quant_min, int64_t quant_max);
at::Tensor device_number(double value, const at::Tensor& on, at::ScalarType dtype);  // one element
// Gradients of x, scale and zero point; axis < 0: one scale for all.
std::tuple<at::Tensor, at::Tensor, at::Tensor> learnable_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& scale,
                                                                  const at::Tensor& zero_point, int64_t axis, int64_t quant_min,
                                                                  int64_t quant_max, double grad_factor);

// ---- products -------------------------------------------------------------------------------------------------------
at::Tensor weight_int8pack_mm(const at::Tensor& self, const at::Tensor& weight, const at::Tensor& scales);
at::Tensor scaled_mm(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale_a, const at::Tensor& scale_b,
                     const OptionalTensor& bias, const OptionalTensor& scale_result, optional<at::ScalarType> out_dtype);
// beta * self + alpha * the product of scaled_mm, computed in float32 and rounded once to self's dtype.
at::Tensor scaled_addmm(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale_a, const at::Tensor& scale_b,
                        const at::Scalar& beta, const at::Scalar& alpha);
// The scales of the `_v2` spellings, where the recipe is one number per tensor (0) or per row (1).
const at::Tensor& plain_scale(const at::ITensorListRef& scales, at::IntArrayRef recipe, const char* op);
bool grouped_mm_is_fused(const at::Tensor& a, const at::Tensor& b, const OptionalTensor& offs, const OptionalTensor& bias,
                         optional<at::ScalarType> out_dtype);
at::Tensor grouped_mm(const at::Tensor& a, const at::Tensor& b, const at::Tensor& offs, const at::Tensor& scale_a,
                      const at::Tensor& scale_b, at::ScalarType out_dtype);
at::Tensor scaled_grouped_mm(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale_a, const at::Tensor& scale_b,
                             const OptionalTensor& offs, const OptionalTensor& bias, optional<at::ScalarType> out_dtype);

}  // namespace torch_npu::ops
