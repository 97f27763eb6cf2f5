// What the rows of quant.yaml use: products of quantised matrices.
#pragma once

#include <ATen/core/Tensor.h>

namespace softcann::ops {

at::Tensor quant_matmul(const at::Tensor& x1, const at::Tensor& x2, const at::Tensor& x1_scale, const at::Tensor& x2_scale,
                        const at::Tensor& y_scale, const at::Tensor& x2_offset, const at::Tensor& y_offset, const at::Tensor& bias,
                        bool transpose1, bool transpose2, at::ScalarType out);
at::Tensor weight_quant_matmul(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale, const at::Tensor& offset,
                               const at::Tensor& bias, int64_t group);
void grouped_matmul(at::TensorList x, at::TensorList weight, at::TensorList bias, at::TensorList scale, at::TensorList row_scale,
                    const at::Tensor& groups, int64_t group_type, int64_t list_type, at::TensorList out);

}  // namespace softcann::ops
