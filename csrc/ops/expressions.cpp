#include "ops/expressions.h"

#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/RangeUtils.h>
#include <ATen/native/im2col_shape_check.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "device/generator.h"
#include "device/stream.h"
#include "ops/common.h"
#include "ops/nn_expressions.h"

namespace torch_npu::ops {

DimVector all_dims(const at::Tensor& t) {
  DimVector dims(t.dim());
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

DimVector dims_or_all(at::OptionalIntArrayRef dims, const at::Tensor& t) {
  return dims.has_value() && !dims->empty() ? DimVector(*dims) : all_dims(t);
}

void check_reducible(const at::Tensor& self, int64_t dim, const char* function) {
  const int64_t wrapped = at::maybe_wrap_dim(dim, self.dim());
  TORCH_CHECK_INDEX(self.dim() == 0 || self.size(wrapped) != 0, function, ": Expected reduction dim ", wrapped, " to have non-zero size.");
}

at::Tensor median_of_nothing(const at::Tensor& self) {
  return at::scalar_tensor(std::numeric_limits<double>::quiet_NaN()).to(self.scalar_type()).to(self.device());
}

void check_norm_dtype(const at::Tensor& self, ScalarType dtype) {
  const ScalarType own = self.scalar_type();
  TORCH_CHECK(at::isFloatingType(own) || at::isComplexType(own), "linalg.vector_norm: Expected a floating point or complex tensor as input. Got ", own);
  TORCH_CHECK(at::isFloatingType(dtype) || at::isComplexType(dtype), "linalg.vector_norm: dtype should be floating point or complex, but got ", dtype);
  TORCH_CHECK(at::isComplexType(own) == at::isComplexType(dtype), "linalg.vector_norm: dtype should be ",
              at::isComplexType(own) ? "complex for complex" : "real for real", " inputs, but got ", dtype);
  TORCH_CHECK(at::promoteTypes(own, dtype) == dtype, "linalg.vector_norm: the dtype of the input (", own,
              ") should be convertible without narrowing to the specified dtype (", dtype, ")");
}

int64_t correction_of(const optional<at::Scalar>& correction) {
  if (!correction.has_value()) return 1;
  const double value = correction->toDouble();
  TORCH_CHECK(value == std::floor(value), "correction = ", value, " is not supported on npu: it must be a whole number");
  return static_cast<int64_t>(value);
}

int64_t div_mode(optional<string_view> rounding_mode) {
  if (!rounding_mode.has_value()) return 0;
  if (*rounding_mode == "trunc") return 1;
  if (*rounding_mode == "floor") return 2;
  TORCH_CHECK(false, "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '", *rounding_mode, "'");
}

int64_t gelu_mode(string_view approximate) {
  if (approximate == "none") return 0;
  TORCH_CHECK(approximate == "tanh", "approximate argument must be either none or tanh.");
  return 1;
}

int64_t scatter_reduction(string_view reduce) {
  constexpr string_view kNames[] = {"sum", "prod", "amax", "amin", "mean"};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == reduce) return static_cast<int64_t>(i) + 1;
  }
  TORCH_CHECK(false, "reduce argument must be either sum, prod, mean, amax or amin, got ", reduce);
}

bool right_side(bool right, optional<string_view> side) {
  if (!side.has_value()) return right;
  TORCH_CHECK(*side == "left" || *side == "right", "torch.searchsorted(): side can only be 'left' or 'right' but got ", *side);
  TORCH_CHECK(!right || *side == "right", "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True");
  return *side == "right";
}

std::pair<double, double> finite_range(ScalarType dtype) {
  const double highest = dtype == at::kHalf       ? 65504.0
                         : dtype == at::kBFloat16 ? static_cast<double>(std::numeric_limits<c10::BFloat16>::max())
                         : dtype == at::kDouble   ? std::numeric_limits<double>::max()
                                                  : static_cast<double>(std::numeric_limits<float>::max());
  return {-highest, highest};
}

int64_t highest(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Bool: return 2;
    case ScalarType::Byte: return int64_t{1} << 8;
    case ScalarType::Char: return int64_t{1} << 7;
    case ScalarType::Short: return int64_t{1} << 15;
    case ScalarType::Int: return int64_t{1} << 31;
    // Floating types: the largest power of two below which every integer is exact.
    case ScalarType::Half: return (int64_t{1} << 11) + 1;
    case ScalarType::BFloat16: return (int64_t{1} << 8) + 1;
    case ScalarType::Float: return (int64_t{1} << 24) + 1;
    case ScalarType::Double: return (int64_t{1} << 53) + 1;
    default: return std::numeric_limits<int64_t>::max();
  }
}

at::Tensor cast_to(const at::Tensor& t, ScalarType dtype) {
  if (is_npu(t)) return t.scalar_type() == dtype ? t : t.to(dtype);
  return t.to(at::Device(at::kPrivateUse1, current_device()), dtype);
}

at::Tensor or_fill(const optional<at::Tensor>& t, int64_t n, double value, ScalarType dtype) {
  if (t.has_value() && t->defined()) return *t;
  return at::full({n}, value, at::TensorOptions(at::Device(at::kPrivateUse1, current_device())).dtype(dtype));
}

Spec broadcast3(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, ScalarType dtype) {
  return {at::infer_size_dimvector(a.sizes(), at::infer_size_dimvector(b.sizes(), c.sizes())), {}, dtype};
}

void check_not_empty(const at::Tensor& t, const char* op) {
  TORCH_CHECK(t.numel() > 0, op, "(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.");
}

void check_dot(const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK(a.dim() == 1 && b.dim() == 1, "1D tensors expected, but got ", a.dim(), "D and ", b.dim(), "D tensors");
  TORCH_CHECK(a.scalar_type() == b.scalar_type(), "dot : expected both vectors to have same dtype, but found ",
              a.scalar_type(), " and ", b.scalar_type());
  TORCH_CHECK(a.numel() == b.numel(), "inconsistent tensor size, expected tensor [", a.numel(), "] and src [", b.numel(),
              "] to have the same number of elements, but got ", a.numel(), " and ", b.numel(), " elements respectively");
}

void check_index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  at::maybe_wrap_dim(dim, self.dim());
  TORCH_CHECK_INDEX(index.dim() <= 1, "index_select(): Index is supposed to be a vector");
  TORCH_CHECK(index.scalar_type() == at::kLong || index.scalar_type() == at::kInt,
              "index_select(): Expected dtype int32 or int64 for index");
}

DimVector layer_norm_rows(const at::Tensor& input, IntArrayRef normalized_shape, const optional<at::Tensor>& weight,
                          const optional<at::Tensor>& bias) {
  const auto n = static_cast<int64_t>(normalized_shape.size());
  TORCH_CHECK(n >= 1, "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = ", normalized_shape);
  for (const auto* t : {&weight, &bias}) {
    TORCH_CHECK(!t->has_value() || !(*t)->defined() || (*t)->sizes() == normalized_shape,
                "Expected ", t == &weight ? "weight" : "bias", " to be of same shape as normalized_shape, but got ",
                t == &weight ? "weight" : "bias", " of shape ", (*t)->sizes(), " and normalized_shape = ", normalized_shape);
  }
  if (input.dim() < n || input.sizes().slice(input.dim() - n) != normalized_shape) {
    std::ostringstream expected;
    for (const int64_t size : normalized_shape) expected << ", " << size;
    TORCH_CHECK(false, "Given normalized_shape=", normalized_shape, ", expected input with shape [*", expected.str(),
                "], but got input of size", input.sizes());
  }
  DimVector rows(input.sizes());
  for (int64_t i = input.dim() - n; i < input.dim(); ++i) rows[i] = 1;
  return rows;
}

namespace {
bool skipped_by_cat(const at::Tensor& t) { return t.dim() == 1 && t.size(0) == 0; }
}  // namespace

std::vector<at::Tensor> nonempty(const at::ITensorListRef& tensors) {
  std::vector<at::Tensor> out;
  for (const at::Tensor& t : tensors) {
    if (!skipped_by_cat(t)) out.push_back(t);
  }
  if (out.empty()) out.push_back(*tensors.begin());
  return out;
}

int64_t wrapped_cat_dim(const at::ITensorListRef& tensors, int64_t dim) {
  for (const at::Tensor& t : tensors) {
    if (!skipped_by_cat(t)) return at::maybe_wrap_dim(dim, t.dim());
  }
  return 0;
}

DimVector padded(const at::Tensor& self, IntArrayRef pad) {
  TORCH_CHECK(pad.size() % 2 == 0, "Length of pad must be even but instead it equals ", pad.size());
  const auto pairs = static_cast<int64_t>(pad.size() / 2);
  TORCH_CHECK(self.dim() >= pairs, "Length of pad should be no more than twice the number of dimensions of the input. Pad length is ",
              pad.size(), " while the input has ", self.dim(), " dimensions.");
  DimVector sizes(self.sizes());
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t d = self.dim() - 1 - i;
    sizes[d] += pad[2 * i] + pad[2 * i + 1];
    TORCH_CHECK(sizes[d] >= 0, "The input size ", self.size(d), ", plus negative padding ", pad[2 * i], " and ",
                pad[2 * i + 1], ", resulted in a negative output size, which is invalid. Check dimension ", d, " of your input.");
  }
  return sizes;
}

DimVector pooled(const at::Tensor& self, IntArrayRef output_size) {
  DimVector sizes(self.sizes().slice(0, self.dim() - output_size.size()));
  sizes.append(output_size.begin(), output_size.end());
  return sizes;
}

DimVector cdist_sizes(const at::Tensor& x1, const at::Tensor& x2) {
  DimVector sizes = at::infer_size_dimvector(x1.sizes().slice(0, x1.dim() - 2), x2.sizes().slice(0, x2.dim() - 2));
  sizes.push_back(x1.size(-2));
  sizes.push_back(x2.size(-2));
  return sizes;
}

DimVector im2col_sizes(const at::Tensor& self, IntArrayRef kernel, IntArrayRef dilation, IntArrayRef padding, IntArrayRef stride) {
  check_pairs({{"kernel_size", kernel}, {"dilation", dilation}, {"padding", padding}, {"stride", stride}});
  at::native::im2col_shape_check(self, at::Tensor(), kernel[0], kernel[1], dilation[0], dilation[1], padding[0], padding[1], stride[0], stride[1]);
  int64_t columns = 1;
  for (int64_t i = 0; i < 2; ++i) {
    columns *= (self.size(i - 2) + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i] + 1;
  }
  DimVector sizes(self.sizes().slice(0, self.dim() - 3));
  sizes.push_back(self.size(-3) * kernel[0] * kernel[1]);
  sizes.push_back(columns);
  return sizes;
}

DimVector col2im_sizes(const at::Tensor& self, IntArrayRef output_size, IntArrayRef kernel) {
  DimVector sizes(self.sizes().slice(0, self.dim() - 2));
  sizes.push_back(self.size(-2) / (kernel[0] * kernel[1]));
  sizes.append(output_size.begin(), output_size.end());
  return sizes;
}

DimVector embedding_sizes(const at::Tensor& weight, const at::Tensor& indices) {
  TORCH_CHECK(weight.dim() == 2, "'weight' must be 2-D");
  TORCH_CHECK(indices.scalar_type() == at::kLong || indices.scalar_type() == at::kInt,
              "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got ",
              indices.toString(), " instead (while checking arguments for embedding)");
  DimVector sizes(indices.sizes());
  sizes.push_back(weight.size(1));
  return sizes;
}

void resize_to_range(const at::Tensor& out, const at::Scalar& start, const at::Scalar& end, const at::Scalar& step) {
  // Sized, as on the CPU, in the type of the result: integers of 64 bits have more digits than a double, and steps of integers are whole.
  const bool whole = at::isIntegralType(out.scalar_type(), /*includeBool=*/false);
  const int64_t n = out.scalar_type() == at::kLong ? at::native::compute_arange_size<int64_t>(start, end, step)
                    : whole                        ? at::native::compute_arange_size<int>(start, end, step)
                                                   : at::native::compute_arange_size<double>(start, end, step);
  if (out.numel() != n) at::native::resize_output(out, {n});
}

void resize_to_steps(const at::Tensor& out, int64_t steps) {
  TORCH_CHECK(steps >= 0, "number of steps must be non-negative");
  if (out.numel() != steps) at::native::resize_output(out, {steps});
}

void resize_to_eye(const at::Tensor& out, int64_t n, int64_t m) {
  TORCH_CHECK(n >= 0, "n must be greater or equal to 0, got ", n);
  TORCH_CHECK(m >= 0, "m must be greater or equal to 0, got ", m);
  at::native::resize_output(out, {n, m});
}

Philox philox(const optional<at::Generator>& generator, c10::Device device, int64_t numbers) {
  auto* gen = at::get_generator_or_default<NPUGeneratorImpl>(generator, default_generator(device.index()));
  const std::lock_guard<std::mutex> lock(gen->mutex_);
  // Offsets move in steps of 4 numbers, one Philox round.
  const auto [seed, offset] = gen->philox_engine_inputs((static_cast<uint64_t>(numbers) + 3) / 4 * 4);
  return {static_cast<int64_t>(seed), static_cast<int64_t>(offset)};
}

}  // namespace torch_npu::ops
