#include "softcann/ops/kernels/quant.h"

#include <ATen/ops/matmul.h>

namespace softcann::ops {
namespace {

// Scales in integers hold the bits of a float in their low half.
at::Tensor scale_value(const at::Tensor& scale) {
  if (scale.scalar_type() != at::kLong && scale.scalar_type() != at::kUInt64) return scale.to(at::kDouble);
  return scale.contiguous().view(at::kLong).to(at::kInt).view(at::kFloat).to(at::kDouble);
}

// One number, or one per row of the result.
at::Tensor per_row(const at::Tensor& scale) { return scale.numel() == 1 ? scale.reshape({1}) : scale.unsqueeze(-1); }

}  // namespace

at::Tensor quant_matmul(const at::Tensor& x1, const at::Tensor& x2, const at::Tensor& x1_scale, const at::Tensor& x2_scale,
                        const at::Tensor& y_scale, const at::Tensor& x2_offset, const at::Tensor& y_offset, const at::Tensor& bias,
                        bool transpose1, bool transpose2, at::ScalarType out) {
  const at::Tensor a = (transpose1 ? x1.mT() : x1).to(at::kDouble);
  at::Tensor b = (transpose2 ? x2.mT() : x2).to(at::kDouble);
  if (x2_offset.defined()) b = b.add(x2_offset.to(at::kDouble));
  at::Tensor y = at::matmul(a, b);  // exact for integers, and below double's rounding for float8
  const bool integer_bias = bias.defined() && bias.scalar_type() == at::kInt;
  if (integer_bias) y = y.add(bias);
  if (x2_scale.defined()) y = y.mul(scale_value(x2_scale));
  if (x1_scale.defined()) y = y.mul(per_row(scale_value(x1_scale)));
  if (bias.defined() && !integer_bias) y = y.add(bias.to(at::kDouble));
  if (y_scale.defined()) y = y.mul(scale_value(y_scale));
  if (y_offset.defined()) y = y.add(y_offset.to(at::kDouble));
  return out == at::kChar ? y.round().clamp(-128, 127).to(out) : y.to(out);
}

at::Tensor weight_quant_matmul(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale, const at::Tensor& offset,
                               const at::Tensor& bias, int64_t group) {
  at::Tensor w = weight.to(at::kFloat);
  const auto spread = [&](const at::Tensor& t) {  // per group of rows, per column, or one number
    return group > 0 ? t.to(at::kFloat).repeat_interleave(group, 0).narrow(0, 0, w.size(0)) : t.to(at::kFloat);
  };
  if (offset.defined()) w = w.add(spread(offset));
  w = w.mul(spread(scale));
  const at::Tensor y = at::matmul(x.to(at::kFloat), w);
  return bias.defined() ? y.add(bias.to(at::kFloat)) : y;
}

void grouped_matmul(at::TensorList x, at::TensorList weight, at::TensorList bias, at::TensorList scale, at::TensorList row_scale,
                    const at::Tensor& groups, int64_t group_type, int64_t list_type, at::TensorList out) {
  TORCH_CHECK(x.size() == 1 && weight.size() == 1 && out.size() == 1 && group_type == 0 && groups.defined() && weight[0].dim() == 3,
              "softcann computes aclnnGroupedMatmulV5 for one x, one 3-D weight and one out with groups along the rows");
  const at::Tensor& w = weight[0];
  TORCH_CHECK(x[0].dim() == 2 && x[0].size(1) == w.size(1) && out[0].sizes() == at::IntArrayRef({x[0].size(0), w.size(2)}),
              "x is ", x[0].sizes(), ", weight ", w.sizes(), ", out ", out[0].sizes());
  TORCH_CHECK(list_type == 0 || list_type == 1, "groupListType is ", list_type, "; softcann knows 0 (ends) and 1 (counts)");
  int64_t start = 0;
  for (int64_t g = 0; g < weight[0].size(0); ++g) {
    const int64_t number = groups[g].item<int64_t>();
    const int64_t end = list_type == 0 ? number : start + number;
    if (end > start) {
      const auto of = [&](at::TensorList list) { return list.empty() ? at::Tensor() : list[0][g]; };
      const at::Tensor rows = row_scale.empty() ? at::Tensor() : row_scale[0].slice(0, start, end);
      at::Tensor target = out[0].slice(0, start, end);
      target.copy_(quant_matmul(x[0].slice(0, start, end), weight[0][g], rows, of(scale), {}, {}, {}, of(bias), false, false,
                                out[0].scalar_type()));
    }
    start = end;
  }
}

}  // namespace softcann::ops
