// Quantisation. Hand-written where checks, shapes of scales and the choice of the call need more than a row.
#include "ops/quant.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>

#include "launch/launch.h"
#include "ops/aclnn_table.h"

namespace torch_npu::ops {
namespace {

using at::Tensor;
using launch::Launch;

bool is_float8(at::ScalarType t) { return t == at::kFloat8_e4m3fn || t == at::kFloat8_e5m2; }

}  // namespace

void check_fake_quantize(int64_t zero_point, int64_t quant_min, int64_t quant_max) {
  TORCH_CHECK(quant_min <= quant_max, "`quant_min` should be less than or equal to `quant_max`.");
  TORCH_CHECK(zero_point >= quant_min && zero_point <= quant_max, "`zero_point` must be between `quant_min` and `quant_max`.");
}

void check_fake_quantize_per_channel(const Tensor& self, const Tensor& scale, const Tensor& zero_point, int64_t axis, int64_t quant_min,
                                     int64_t quant_max) {
  TORCH_CHECK(scale.scalar_type() == at::kFloat || scale.scalar_type() == at::kBFloat16,
              "Scale must be Float or BFloat16, found ", scale.scalar_type());
  TORCH_CHECK(scale.dim() == 1, "scale should be a 1-D tensor");
  TORCH_CHECK(zero_point.dim() == 1, "zero point should be a 1-D tensor");
  TORCH_CHECK(scale.numel() == zero_point.numel(), "scale and zero-point need to have the same dimensions");
  TORCH_CHECK(scale.numel() == self.size(axis), "dimensions of scale and zero-point are not consistent with input tensor");
  TORCH_CHECK(quant_min <= quant_max, "`quant_min` should be less than or equal to `quant_max`.");
  TORCH_CHECK(axis >= 0 && axis <= self.dim(), "`axis` must be between 0 and number of dimensions of input");
}

Tensor device_number(double value, const Tensor& on, at::ScalarType dtype) { return at::full({1}, value, on.options().dtype(dtype)); }

std::tuple<Tensor, Tensor, Tensor> learnable_backward(const Tensor& grad, const Tensor& x, const Tensor& scale, const Tensor& zero_point,
                                                      int64_t axis, int64_t quant_min, int64_t quant_max, double grad_factor) {
  TORCH_CHECK(scale.scalar_type() == at::kFloat, "Expected scale to be float32, found ", scale.scalar_type());
  TORCH_CHECK(zero_point.scalar_type() == at::kFloat, "Expected zero_point to be float32, found ", zero_point.scalar_type());
  TORCH_CHECK(x.sizes() == grad.sizes(), "`X` and `dY` are not the same size");
  TORCH_CHECK(quant_min <= 0 && quant_max >= 0, "Expecting `quant_min` <= 0 and `quant_max` >= 0");
  if (x.numel() == 0) return {x, scale, zero_point};
  std::vector<int64_t> shape(x.dim(), 1), others;
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (d != axis) others.push_back(d);
  }
  if (axis >= 0) shape[axis] = x.size(axis);
  // ATen rounds the zero point in these two ways.
  const Tensor rounded = axis < 0 ? zero_point.add(0.5).clamp(quant_min, quant_max).trunc() : zero_point.round().clamp(quant_min, quant_max);
  const Tensor s = scale.reshape(shape), zero = rounded.reshape(shape);
  const Tensor raw = x.mul(s.reciprocal()).add(zero).round();
  const Tensor below = raw.lt(quant_min), above = raw.gt(quant_max);
  const Tensor outside = below.logical_or(above);
  const Tensor grad_x = grad.masked_fill(outside, 0);
  const Tensor inside_scale = raw.sub(zero).sub(x.div(s));
  const Tensor by_scale = at::where(below, zero.neg().add(quant_min), at::where(above, zero.neg().add(quant_max), inside_scale)).mul(grad).mul(grad_factor);
  const Tensor by_zero = at::where(outside, s.neg().mul(grad), 0).mul(grad_factor);
  if (axis < 0) return {grad_x, by_scale.sum().unsqueeze(0), by_zero.sum().unsqueeze(0)};
  if (others.empty()) return {grad_x, by_scale, by_zero};
  return {grad_x, by_scale.sum(others), by_zero.sum(others)};
}

Tensor weight_int8pack_mm(const Tensor& self, const Tensor& weight, const Tensor& scales) {
  TORCH_CHECK(self.dim() == 2, "_weight_int8pack_mm: expect A to be 2D tensor.");
  TORCH_CHECK(weight.dim() == 2, "_weight_int8pack_mm: expect B to be 2D tensor.");
  TORCH_CHECK(weight.scalar_type() == at::kChar, "_weight_int8pack_mm: expect B to be int8 tensor.");
  TORCH_CHECK(weight.size(1) == self.size(1), "_weight_int8pack_mm: expect B.size(1) == ", self.size(1));
  TORCH_CHECK(scales.dim() == 1 && scales.size(0) == weight.size(0), "_weight_int8pack_mm: expect scales to be 1d tensor with size ",
              weight.size(0));
  const DeviceScope scope(self, weight, scales);
  const auto& f = aclnn::aclnnWeightQuantBatchMatmulV2;
  if (!launch::found(f) || !launch::dtype_documented(f, 0, self.scalar_type()) || scales.scalar_type() != self.scalar_type()) {
    return at::mm(self, weight.to(self.scalar_type()).t()).mul(scales);
  }
  const Tensor out = at::empty({self.size(0), weight.size(0)}, self.options());
  Launch l(f, "aten::_weight_int8pack_mm");
  l.tensor(self), l.tensor(weight.t()), l.tensor(scales);
  for (int i = 0; i < 4; ++i) l.tensor(Tensor());
  l.integer(int64_t{0}), l.tensor(out);
  l.submit();
  return out;
}

Tensor scaled_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b, const OptionalTensor& bias,
                 const OptionalTensor& scale_result, optional<at::ScalarType> out_dtype) {
  TORCH_CHECK(a.dim() == 2, "mat1 must be a matrix");
  TORCH_CHECK(b.dim() == 2, "mat2 must be a matrix");
  TORCH_CHECK(a.size(1) == b.size(0), "mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x", a.size(1), " and ", b.size(0), "x",
              b.size(1), ")");
  TORCH_CHECK(is_float8(a.scalar_type()) && is_float8(b.scalar_type()), "Expected both matrices to be of a float8 type, got ",
              a.scalar_type(), " and ", b.scalar_type());
  const bool rows = scale_a.numel() == a.size(0) && scale_b.numel() == b.size(1) && (scale_a.numel() != 1 || scale_b.numel() != 1);
  TORCH_CHECK(rows || (scale_a.numel() == 1 && scale_b.numel() == 1), "Invalid scaling configuration: scale_a and scale_b must have one "
              "element, or one per row of mat1 (", a.size(0), ") and per column of mat2 (", b.size(1), "), got ", scale_a.sizes(), " and ",
              scale_b.sizes());
  TORCH_CHECK(scale_a.scalar_type() == at::kFloat && scale_b.scalar_type() == at::kFloat, "scale_a and scale_b must be float32");
  TORCH_CHECK(!bias.has_value() || !bias->defined() || bias->numel() == b.size(1), "Bias must be size ", b.size(1), " but got ",
              bias.has_value() && bias->defined() ? bias->numel() : 0);
  const DeviceScope scope(a, b, scale_a, scale_b, bias);
  const at::ScalarType dtype = out_dtype.value_or(a.scalar_type());
  const auto& f = aclnn::aclnnQuantMatmulV5;
  const bool direct = launch::dtype_documented(f, 12, dtype);
  const Tensor out = at::empty({a.size(0), b.size(1)}, a.options().dtype(direct ? dtype : at::kFloat));
  if (out.numel() != 0) {
    Launch l(f, "aten::_scaled_mm");
    l.tensor(a), l.tensor(b), l.tensor(scale_a.reshape({-1})), l.tensor(scale_b.reshape({-1}));
    for (int i = 0; i < 4; ++i) l.tensor(Tensor());
    l.tensor(bias), l.boolean(false), l.boolean(false), l.integer(int64_t{0}), l.tensor(out);
    l.submit();
  }
  if (direct) return out;
  return (scale_result.has_value() && scale_result->defined() ? out.mul(*scale_result) : out).to(dtype);
}

Tensor scaled_addmm(const Tensor& self, const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b, const at::Scalar& beta,
                    const at::Scalar& alpha) {
  const Tensor product = scaled_mm(a, b, scale_a, scale_b, {}, {}, at::kFloat).mul(alpha);
  // As in addmm, beta = 0 leaves out what self holds, nan too.
  return (beta.toComplexDouble() == 0. ? product : product.add(self.to(at::kFloat), beta)).to(self.scalar_type());
}

const Tensor& plain_scale(const at::ITensorListRef& scales, at::IntArrayRef recipe, const char* op) {
  TORCH_CHECK_NOT_IMPLEMENTED(scales.size() == 1 && recipe.size() == 1 && (recipe[0] == 0 || recipe[0] == 1), op,
                              " on npu takes one scale per tensor or per row; got ", scales.size(), " scales with recipe ", recipe);
  return *scales.begin();
}

bool grouped_mm_is_fused(const Tensor& a, const Tensor& b, const OptionalTensor& offs, const OptionalTensor& bias,
                         optional<at::ScalarType> out_dtype) {
  const at::ScalarType dtype = a.scalar_type();
  return launch::found(aclnn::aclnnGroupedMatmulV5) && a.dim() == 2 && b.dim() == 3 && a.size(1) == b.size(1) &&
         offs.has_value() && offs->defined() && is_npu(*offs) &&
         offs->dim() == 1 && offs->scalar_type() == at::kInt && offs->size(0) == b.size(0) && !(bias.has_value() && bias->defined()) &&
         (dtype == at::kBFloat16 || dtype == at::kHalf || dtype == at::kFloat) && b.scalar_type() == dtype &&
         out_dtype.value_or(dtype) == dtype && a.numel() != 0 && b.numel() != 0;
}

Tensor grouped_mm(const Tensor& a, const Tensor& b, const Tensor& offs, const Tensor& scale_a, const Tensor& scale_b,
                  at::ScalarType out_dtype) {
  const DeviceScope scope(a, b, offs);
  const Tensor out = at::empty({a.size(0), b.size(2)}, a.options().dtype(out_dtype));
  if (out.numel() == 0) return out;
  const Tensor ends = offs.to(at::kLong);
  const auto list = [](const Tensor& t) { return t.defined() ? std::vector<Tensor>{t} : std::vector<Tensor>{}; };
  Launch l(aclnn::aclnnGroupedMatmulV5, "aten::_grouped_mm");
  l.tensors(list(a)), l.tensors(list(b)), l.tensors(list({}));
  l.tensors(list(scale_b)), l.tensors(list({})), l.tensors(list({})), l.tensors(list({})), l.tensors(list(scale_a));
  l.tensor(ends), l.tensors(list({})), l.tensors(list({})), l.tensors(list({}));
  // one output, groups along the rows, ends of the groups, no activation
  l.integer(int64_t{3}), l.integer(int64_t{0}), l.integer(int64_t{0}), l.integer(int64_t{0});
  l.ints(at::OptionalIntArrayRef()), l.tensors(list(out)), l.tensors(list({})), l.tensors(list({}));
  l.submit();
  return out;
}

Tensor scaled_grouped_mm(const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b, const OptionalTensor& offs,
                         const OptionalTensor& bias, optional<at::ScalarType> out_dtype) {
  TORCH_CHECK(!(bias.has_value() && bias->defined()), "Bias not supported yet");
  TORCH_CHECK(is_float8(a.scalar_type()) && is_float8(b.scalar_type()), "Expected both matrices to be of a float8 type, got ",
              a.scalar_type(), " and ", b.scalar_type());
  TORCH_CHECK(scale_a.scalar_type() == at::kFloat && scale_b.scalar_type() == at::kFloat, "scale_a and scale_b must be float32");
  const at::ScalarType dtype = out_dtype.value_or(at::kBFloat16);
  TORCH_CHECK(dtype == at::kBFloat16, "Only bf16 high precision output types are supported for grouped gemm");
  TORCH_CHECK_NOT_IMPLEMENTED(a.dim() == 2 && b.dim() == 3, "_scaled_grouped_mm on npu takes a 2-D mat_a and a 3-D mat_b, got ", a.dim(),
                              "-D and ", b.dim(), "-D");
  TORCH_CHECK(a.size(1) == b.size(1), "contraction dimension of mat_a and mat_b must match");
  TORCH_CHECK(offs.has_value() && offs->defined() && offs->dim() == 1 && offs->size(0) == b.size(0) && offs->scalar_type() == at::kInt,
              "offs has to be a 1-D int32 tensor with one end per matrix of mat_b");
  TORCH_CHECK(scale_a.numel() == a.size(0) && scale_b.numel() == b.size(0) * b.size(2), "scale_a needs one element per row of mat_a and "
              "scale_b one per column of each matrix of mat_b, got ", scale_a.sizes(), " and ", scale_b.sizes());
  return grouped_mm(a, b, *offs, scale_a.reshape({-1}), scale_b.reshape({b.size(0), b.size(2)}), dtype);
}

}  // namespace torch_npu::ops
