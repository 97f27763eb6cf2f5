// What the rows of softcann/ops/*.yaml may use besides at:: functions: CANN's spellings turned into ATen's, and CANN's operators that
// ATen does not have as one function.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

#include <array>
#include <tuple>
#include <vector>

#include "csrc/compat/compat.h"
#include "softcann/ops/kernels/types.h"

namespace softcann::ops {

using torch_compat::nullopt;
using torch_compat::optional;
using torch_compat::string_view;

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;
using ThreeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// ---- scalars, modes, masks ------------------------------------------------------------------------------------------
// CANN's division modes: 0 true division, 1 trunc, 2 floor.
optional<string_view> rounding_mode(int64_t mode);
// CANN's formulas of GELU: 0 exact, 1 by tanh.
inline string_view gelu_formula(int64_t approximate) { return approximate == 1 ? "tanh" : "none"; }
// CANN's scatter reductions that ATen's scatter_reduce knows: 1 sum, 2 prod, 3 amax, 4 amin, 5 mean.
string_view reduction_name(int64_t reduce);
// A scale factor of upsampling: not positive means that the sizes decide.
inline optional<double> factor(double value) { return value > 0 ? optional<double>(value) : nullopt; }
// A tensor without memory of the shape that the mask of max pooling has: a bit per kernel position, padded.
at::Tensor pooling_mask(const at::Tensor& out, at::IntArrayRef kernel);
// A divisor of pooling: 0 means none.
inline optional<int64_t> divisor(int64_t value) { return value != 0 ? optional<int64_t>(value) : nullopt; }
std::array<bool, 3> mask3(c10::ArrayRef<bool> mask);
std::array<bool, 2> mask2(c10::ArrayRef<bool> mask);

// ---- dimensions, lists ----------------------------------------------------------------------------------------------
// An empty list means all dimensions.
inline at::OptionalIntArrayRef dims_or_all(at::IntArrayRef dims) {
  return dims.empty() ? at::OptionalIntArrayRef() : at::OptionalIntArrayRef(dims);
}
inline at::OptionalIntArrayRef dims_or_all(at::OptionalIntArrayRef dims) {
  return dims.has_value() && dims->empty() ? at::OptionalIntArrayRef() : dims;
}
// Index tensors as ATen takes them; CANN writes "this dimension is not indexed" as an empty tensor, which it is unless the
// result is empty as well.
c10::List<optional<at::Tensor>> index_list(at::TensorList list, bool empty_result);
// Index tensors of functions that only take int64 in ATen.
inline at::Tensor long_index(const at::Tensor& index) { return index.scalar_type() == at::kLong ? index : index.to(at::kLong); }
// The indices of a pooling's gradient: one per element, each within the last `dims` dimensions of self.
at::Tensor plane_index(const at::Tensor& index, const at::Tensor& grad, const at::Tensor& self, int64_t dims);
// Classes below `count`, or to be ignored.
at::Tensor class_index(const at::Tensor& index, int64_t count, int64_t ignored);
inline at::Tensor bool_mask(const at::Tensor& mask) { return mask.scalar_type() == at::kBool ? mask : mask.to(at::kBool); }
// `value` in the data type of `like`.
inline at::Tensor cast_as(const at::Tensor& value, const at::Tensor& like) {
  return !value.defined() || value.scalar_type() == like.scalar_type() ? value : value.to(like.scalar_type());
}
at::Tensor scatter(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& src, int64_t reduce);
at::Tensor scatter(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Scalar& value, int64_t reduce);
at::Tensor one_hot(const at::Tensor& self, int64_t classes, const at::Tensor& on, const at::Tensor& off, int64_t axis);

// ---- random ---------------------------------------------------------------------------------------------------------
// A generator that gives equal numbers for equal (seed, offset). Philox counts its position in `offset`; here it selects the sequence.
at::Generator generator(int64_t seed, int64_t offset);
// The same with seed and offset in one-element tensors, plus an offset of its own.
at::Generator generator(const at::Tensor& seed, const at::Tensor& offset, int64_t added);
// Dropout masks: one bit per element, least significant first, 1 = keep, in memory for a multiple of 128 elements.
void dropout_gen_mask(const at::Tensor& bits, int64_t elements, double prob, const at::Generator& random);
at::Tensor dropout_do_mask(const at::Tensor& self, const at::Tensor& bits, double prob);
int64_t product(at::IntArrayRef shape);

// ---- networks -------------------------------------------------------------------------------------------------------
// Two paddings per dimension are allowed where they differ.
at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding,
                       int64_t groups);
ThreeTensors convolution_backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& weight,
                                  at::OptionalIntArrayRef bias_sizes, at::IntArrayRef stride, at::IntArrayRef padding,
                                  at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups,
                                  c10::ArrayRef<bool> mask);
ThreeTensors layer_norm_backward(const at::Tensor& grad, const at::Tensor& input, at::IntArrayRef shape, const at::Tensor& mean,
                                 const at::Tensor& rstd, const at::Tensor& weight, const at::Tensor& bias,
                                 c10::ArrayRef<bool> mask);
ThreeTensors group_norm_backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& mean, const at::Tensor& rstd,
                                 const at::Tensor& gamma, int64_t n, int64_t c, int64_t hxw, int64_t group,
                                 c10::ArrayRef<bool> mask);
TwoTensors rms_norm(const at::Tensor& x, const at::Tensor& gamma, double eps);
TwoTensors rms_norm_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& rstd, const at::Tensor& gamma);
at::Tensor prelu(const at::Tensor& self, const at::Tensor& weight);
TwoTensors prelu_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& weight);
at::Tensor log_sigmoid_backward(const at::Tensor& grad, const at::Tensor& self);
// ---- batch normalisation in steps: dimension 1 is the channel ---------------------------------------------------------
std::vector<int64_t> other_dims(const at::Tensor& input);
at::Tensor per_channel(const at::Tensor& values, const at::Tensor& input);  // shaped to broadcast
TwoTensors batch_norm_stats(const at::Tensor& input, double eps);
at::Tensor batch_norm_elemt(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                            const at::Tensor& invstd);
TwoTensors batch_norm_gather_stats(const at::Tensor& mean, const at::Tensor& invstd, const at::Tensor& running_mean,
                                   const at::Tensor& running_var, double momentum, double eps, const at::Tensor& counts);
at::Tensor batch_norm_elemt_backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& mean,
                                     const at::Tensor& invstd, const at::Tensor& weight, const at::Tensor& sum_dy,
                                     const at::Tensor& sum_dy_xmu, const at::Tensor& counter);

// ---- others ---------------------------------------------------------------------------------------------------------
inline at::Tensor cast_float(const at::Tensor& t) { return t.scalar_type() == at::kFloat ? t : t.to(at::kFloat); }
// 1 half to even, 2 floor, 3 ceil, 4 half away from zero, 5 towards zero, 6 half to odd.
at::Tensor round_off(const at::Tensor& x, int64_t mode);
// The part of CTC's alpha that ATen uses.
at::Tensor ctc_alpha(const at::Tensor& alpha, at::IntArrayRef target_lengths);
// U, S, V (not transposed); U and V undefined unless asked for.
ThreeTensors svd(const at::Tensor& input, bool full, bool vectors);

// ---- optimizers -----------------------------------------------------------------------------------------------------
void fused_sgd(const at::Tensor& parameter, const at::Tensor& grad, const at::Tensor& momentum_buffer, const at::Tensor& grad_scale,
               double weight_decay, double momentum, double lr, double dampening, bool nesterov, bool maximize, bool first);
// AdamW as CANN documents it for one parameter.
void apply_adamw(const at::Tensor& var, const at::Tensor& m, const at::Tensor& v, const at::Tensor& max_v, const at::Tensor& grad,
                 const at::Tensor& step, double lr, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
                 bool maximize);

// Calls f(element, its number) for the elements of an output list.
template <class F>
void each(at::TensorList list, F f) {
  for (size_t i = 0; i < list.size(); ++i) {
    at::Tensor element = list[i];
    f(element, i);
  }
}

}  // namespace softcann::ops
