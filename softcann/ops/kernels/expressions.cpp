#include "softcann/ops/kernels/expressions.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/_prelu_kernel_backward.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/log_sigmoid_backward.h>
#include <ATen/ops/log_sigmoid_forward.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/native_group_norm_backward.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/prelu.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "csrc/compat/reduced_types.h"

namespace softcann::ops {
namespace {

bool is_reduced(at::ScalarType type) { return type == at::kHalf || type == at::kBFloat16; }

// Half types are computed in float.
at::Tensor widened(const at::Tensor& t) { return t.defined() && is_reduced(t.scalar_type()) ? t.to(at::kFloat) : t; }

}  // namespace

optional<string_view> rounding_mode(int64_t mode) {
  switch (mode) {
    case 0: return nullopt;
    case 1: return "trunc";
    case 2: return "floor";
    default: TORCH_CHECK_VALUE(false, "mode is ", mode, "; allowed are 0 (true division), 1 (trunc) and 2 (floor)");
  }
}

string_view reduction_name(int64_t reduce) {
  constexpr string_view kNames[] = {"sum", "prod", "amax", "amin", "mean"};
  TORCH_CHECK_VALUE(reduce >= 1 && reduce <= 5, "reduce is ", reduce,
                    "; allowed are 1 (add), 2 (mul), 3 (max), 4 (min) and 5 (mean)");
  return kNames[reduce - 1];
}

std::array<bool, 3> mask3(c10::ArrayRef<bool> mask) {
  TORCH_CHECK_VALUE(mask.size() == 3, "outputMask has ", mask.size(), " elements; 3 are needed");
  return {mask[0], mask[1], mask[2]};
}

std::array<bool, 2> mask2(c10::ArrayRef<bool> mask) {
  TORCH_CHECK_VALUE(mask.size() == 2, "outputMask has ", mask.size(), " elements; 2 are needed");
  return {mask[0], mask[1]};
}

c10::List<optional<at::Tensor>> index_list(at::TensorList list, bool empty_result) {
  c10::List<optional<at::Tensor>> out;
  out.reserve(list.size());
  for (const at::Tensor& tensor : list) {
    const bool given = tensor.defined() && (tensor.numel() != 0 || empty_result);
    out.push_back(given ? optional<at::Tensor>(tensor) : nullopt);
  }
  return out;
}

at::Tensor plane_index(const at::Tensor& index, const at::Tensor& grad, const at::Tensor& self, int64_t dims) {
  TORCH_CHECK_VALUE(grad.sizes() == index.sizes(), "gradOutput has shape ", grad.sizes(), ", indices have ", index.sizes());
  TORCH_CHECK_VALUE(self.dim() >= dims && grad.dim() == self.dim(), "gradOutput has shape ", grad.sizes(), ", self has ", self.sizes());
  int64_t plane = 1;
  for (int64_t d = 1; d <= dims; ++d) plane *= self.size(-d);
  if (index.is_meta()) return long_index(index);  // only shapes are asked for
  TORCH_CHECK_INDEX(index.numel() == 0 || (index.min().item<int64_t>() >= 0 && index.max().item<int64_t>() < plane),
                    "an index is outside of the plane");
  return long_index(index);
}

at::Tensor class_index(const at::Tensor& index, int64_t count, int64_t ignored) {
  const at::Tensor classes = long_index(index);
  if (classes.is_meta()) return classes;  // only shapes are asked for
  TORCH_CHECK_INDEX(!classes.lt(0).logical_or(classes.ge(count)).logical_and(classes.ne(ignored)).any().item<bool>(),
                    "a class is outside of [0, ", count, ")");
  return classes;
}

at::Tensor scatter(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& src, int64_t reduce) {
  const at::Tensor where = long_index(index);
  if (reduce == 0) return at::scatter(self, dim, where, src);
  TORCH_CHECK_VALUE(reduce == 1 || reduce == 2, "reduce is ", reduce, "; allowed are 0 (replace), 1 (add) and 2 (mul)");
  return at::scatter(self, dim, where, src, reduce == 1 ? "add" : "multiply");
}

at::Tensor scatter(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Scalar& value, int64_t reduce) {
  const at::Tensor where = long_index(index);
  if (reduce == 0) return at::scatter(self, dim, where, value);
  TORCH_CHECK_VALUE(reduce == 1 || reduce == 2, "reduce is ", reduce, "; allowed are 0 (replace), 1 (add) and 2 (mul)");
  return at::scatter(self, dim, where, value, reduce == 1 ? "add" : "multiply");
}

at::Tensor one_hot(const at::Tensor& self, int64_t classes, const at::Tensor& on, const at::Tensor& off, int64_t axis) {
  auto shape = self.sizes().vec();
  const int64_t at_dim = axis < 0 ? axis + self.dim() + 1 : axis;
  TORCH_CHECK_VALUE(at_dim >= 0 && at_dim <= self.dim(), "axis is ", axis, " for ", self.dim(), " dimensions");
  shape.insert(shape.begin() + at_dim, classes);
  at::Tensor out = off.reshape({}).expand(shape).clone();
  if (classes == 0) return out;
  const at::Tensor index = long_index(self).unsqueeze(at_dim);
  const at::Tensor inside = index.ge(0).logical_and(index.lt(classes));
  const at::Tensor safe = index.clamp(0, classes - 1);
  const at::Tensor current = out.gather(at_dim, safe);
  return out.scatter_(at_dim, safe, at::where(inside, on.reshape({}), current));
}

at::Generator generator(int64_t seed, int64_t offset) {
  static thread_local at::Generator cached = at::make_generator<at::CPUGeneratorImpl>();
  uint64_t mixed = static_cast<uint64_t>(seed) + 0x9E3779B97F4A7C15u * (static_cast<uint64_t>(offset) + 1);
  mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
  cached.set_current_seed(mixed ^ mixed >> 31);
  return cached;
}

at::Generator generator(const at::Tensor& seed, const at::Tensor& offset, int64_t added) {
  return generator(seed.item<int64_t>(), offset.item<int64_t>() + added);
}

int64_t product(at::IntArrayRef shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

void dropout_gen_mask(const at::Tensor& bits, int64_t elements, double prob, const at::Generator& random) {
  const int64_t bytes = (elements + 127) / 128 * 16;
  TORCH_CHECK_VALUE(bits.numel() == bytes, "the mask of ", elements, " elements needs ", bytes, " bytes, it has ", bits.numel());
  const at::Tensor keep = at::empty({elements}, at::kBool).bernoulli_(1 - prob, random);
  at::Tensor packed = at::zeros({bits.numel()}, at::kByte);
  const bool* from = keep.data_ptr<bool>();
  auto* to = packed.data_ptr<uint8_t>();
  for (int64_t i = 0; i < elements; ++i) to[i / 8] |= static_cast<uint8_t>(from[i] << (i % 8));
  bits.copy_(packed.reshape(bits.sizes()));
}

at::Tensor dropout_do_mask(const at::Tensor& self, const at::Tensor& bits, double prob) {
  if (prob == 0) return self;
  if (prob == 1) return at::zeros(self.sizes(), self.options());
  const int64_t n = self.numel();
  TORCH_CHECK_VALUE(bits.numel() * 8 >= n, "mask has ", bits.numel(), " bytes for ", n, " elements");
  at::Tensor keep = at::empty(self.sizes(), at::kBool);
  const at::Tensor packed = bits.contiguous();
  const auto* from = static_cast<const uint8_t*>(packed.data_ptr());
  bool* to = keep.data_ptr<bool>();
  for (int64_t i = 0; i < n; ++i) to[i] = (from[i / 8] >> (i % 8) & 1) != 0;
  return self.mul(keep).mul_(1 / (1 - prob));
}

namespace {

// The padding that ATen's convolution takes, after what differs between the two sides was added to the input.
struct Padded {
  at::Tensor input;
  std::vector<int64_t> added;    // as constant_pad_nd takes it; empty if nothing was
  std::vector<int64_t> padding;
};

Padded even_padding(const at::Tensor& input, at::IntArrayRef padding) {
  const auto dims = static_cast<size_t>(input.dim() - 2);
  if (padding.size() != 2 * dims || dims == 0) return {input, {}, padding.vec()};
  std::vector<int64_t> both(dims), added(2 * dims);
  bool uneven = false;
  for (size_t i = 0; i < dims; ++i) {
    const int64_t before = padding[2 * i], after = padding[2 * i + 1];
    both[i] = std::min(before, after);
    added[2 * (dims - 1 - i)] = before - both[i];
    added[2 * (dims - 1 - i) + 1] = after - both[i];
    uneven = uneven || before != after;
  }
  if (!uneven) return {input, {}, both};
  return {at::constant_pad_nd(input, added), added, both};
}

at::Tensor as_convolved(const at::Tensor& t) {
  return torch_compat::kConvolvesInBFloat16 && t.defined() && t.scalar_type() == at::kBFloat16 ? t.to(at::kFloat) : t;
}

}  // namespace

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding,
                       int64_t groups) {
  const Padded padded = even_padding(input, padding);
  return at::convolution(as_convolved(padded.input), as_convolved(weight), as_convolved(bias), stride, padded.padding, dilation, transposed,
                         output_padding, groups);
}

ThreeTensors convolution_backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& weight,
                                  at::OptionalIntArrayRef bias_sizes, at::IntArrayRef stride, at::IntArrayRef padding,
                                  at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding, int64_t groups,
                                  c10::ArrayRef<bool> mask) {
  const Padded padded = even_padding(input, padding);
  auto out = at::convolution_backward(as_convolved(grad), as_convolved(padded.input), as_convolved(weight), bias_sizes, stride, padded.padding,
                                      dilation, transposed, output_padding, groups, mask3(mask));
  if (!padded.added.empty() && std::get<0>(out).defined()) {
    std::vector<int64_t> removed = padded.added;
    for (int64_t& n : removed) n = -n;
    std::get<0>(out) = at::constant_pad_nd(std::get<0>(out), removed);
  }
  return out;
}

at::Tensor pooling_mask(const at::Tensor& out, at::IntArrayRef kernel) {
  std::vector<int64_t> shape(out.sizes().begin(), out.sizes().end() - 2);
  shape.push_back(kernel.front() * kernel.back());
  shape.push_back(((out.size(-2) * out.size(-1) + 15) / 16 + 1) * 32);
  return at::empty(shape, at::device(at::kMeta).dtype(at::kChar));
}

ThreeTensors layer_norm_backward(const at::Tensor& grad, const at::Tensor& input, at::IntArrayRef shape, const at::Tensor& mean,
                                 const at::Tensor& rstd, const at::Tensor& weight, const at::Tensor& bias,
                                 c10::ArrayRef<bool> mask) {
  const at::Tensor x = widened(input);
  const auto given = [&](const at::Tensor& t) { return t.defined() ? cast_as(t, x).contiguous() : at::ones(shape, x.options()); };
  return at::native_layer_norm_backward(given(grad), x.contiguous(), shape, given(mean), given(rstd), given(weight), given(bias), mask3(mask));
}

ThreeTensors group_norm_backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& mean, const at::Tensor& rstd,
                                 const at::Tensor& gamma, int64_t n, int64_t c, int64_t hxw, int64_t group,
                                 c10::ArrayRef<bool> mask) {
  const at::Tensor x = widened(input).contiguous();
  const auto given = [&](const at::Tensor& t) { return t.defined() ? cast_as(t, x).contiguous() : at::ones({c}, x.options()); };
  return at::native_group_norm_backward(given(grad), x, given(mean), given(rstd), given(gamma), n, c, hxw, group, mask3(mask));
}

TwoTensors rms_norm(const at::Tensor& x, const at::Tensor& gamma, double eps) {
  std::vector<int64_t> dims(static_cast<size_t>(gamma.dim()));
  for (size_t i = 0; i < dims.size(); ++i) dims[i] = -1 - static_cast<int64_t>(i);
  const at::Tensor wide = widened(x);
  const at::Tensor rstd = wide.square().mean(dims, true).add_(eps).rsqrt_();
  return {wide.mul(rstd).mul_(cast_as(gamma, wide)), rstd};
}

TwoTensors rms_norm_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& rstd, const at::Tensor& gamma) {
  std::vector<int64_t> normalized(static_cast<size_t>(gamma.dim())), rest(static_cast<size_t>(x.dim() - gamma.dim()));
  for (size_t i = 0; i < normalized.size(); ++i) normalized[i] = -1 - static_cast<int64_t>(i);
  for (size_t i = 0; i < rest.size(); ++i) rest[i] = static_cast<int64_t>(i);
  const at::Tensor wide = widened(x);
  const at::Tensor hat = wide.mul(cast_as(rstd, wide));
  const at::Tensor g = cast_as(grad, wide);
  const at::Tensor inner = g.mul(cast_as(gamma, wide));
  const at::Tensor grad_x = inner.sub(hat.mul(inner.mul(hat).mean(normalized, true))).mul_(cast_as(rstd, wide));
  const at::Tensor elementwise = g.mul(hat);
  return {grad_x, rest.empty() ? elementwise : elementwise.sum(rest)};
}

at::Tensor prelu(const at::Tensor& self, const at::Tensor& weight) { return at::prelu(self, weight.reshape({-1})); }

TwoTensors prelu_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& weight) {
  std::vector<int64_t> shape(static_cast<size_t>(std::max<int64_t>(self.dim(), 1)), 1);
  if (self.dim() > 1) shape[1] = weight.numel();
  const at::Tensor slopes = self.dim() == 0 ? weight.reshape({}) : weight.reshape(shape);
  auto [grad_input, elementwise] = at::_prelu_kernel_backward(grad, self, slopes);
  return {grad_input, elementwise.sum_to_size(slopes.sizes()).reshape(weight.sizes())};
}

at::Tensor log_sigmoid_backward(const at::Tensor& grad, const at::Tensor& self) {
  return at::log_sigmoid_backward(grad, self, std::get<1>(at::log_sigmoid_forward(self)));
}

std::vector<int64_t> other_dims(const at::Tensor& input) {
  std::vector<int64_t> dims;
  for (int64_t i = 0; i < input.dim(); ++i) {
    if (i != 1) dims.push_back(i);
  }
  return dims;
}

at::Tensor per_channel(const at::Tensor& values, const at::Tensor& input) {
  TORCH_CHECK_VALUE(input.dim() >= 2, "input has ", input.dim(), " dimensions, 2 or more are needed: the second is the channel");
  std::vector<int64_t> shape(static_cast<size_t>(input.dim()), 1);
  shape[1] = values.numel();
  return values.reshape(shape);
}

TwoTensors batch_norm_stats(const at::Tensor& input, double eps) {
  const at::Tensor wide = widened(input);
  const std::vector<int64_t> dims = other_dims(input);
  return {wide.mean(dims), wide.var(dims, false).add_(eps).rsqrt_()};
}

at::Tensor batch_norm_elemt(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                            const at::Tensor& invstd) {
  at::Tensor out = widened(input).sub(per_channel(mean, input)).mul_(per_channel(invstd, input));
  if (weight.defined()) out.mul_(per_channel(weight, input));
  if (bias.defined()) out.add_(per_channel(bias, input));
  return out;
}

TwoTensors batch_norm_gather_stats(const at::Tensor& mean, const at::Tensor& invstd, const at::Tensor& running_mean,
                                   const at::Tensor& running_var, double momentum, double eps, const at::Tensor& counts) {
  const at::Tensor weights = counts.reshape({-1, 1}).to(at::kDouble);
  const at::Tensor total = weights.sum();
  const at::Tensor m = mean.to(at::kDouble), var = invstd.to(at::kDouble).pow(-2).sub_(eps);
  const at::Tensor all = m.mul(weights).sum(0).div_(total);
  const at::Tensor var_all = var.add(m.sub(all).square()).mul(weights).sum(0).div_(total);
  if (running_mean.defined()) running_mean.mul_(1 - momentum).add_(all.to(running_mean.scalar_type()), momentum);
  if (running_var.defined()) {
    const at::Tensor unbiased = var_all.mul(total).div(total.sub(1));
    running_var.mul_(1 - momentum).add_(unbiased.to(running_var.scalar_type()), momentum);
  }
  return {all, var_all.add(eps).rsqrt()};
}

at::Tensor batch_norm_elemt_backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& mean,
                                     const at::Tensor& invstd, const at::Tensor& weight, const at::Tensor& sum_dy,
                                     const at::Tensor& sum_dy_xmu, const at::Tensor& counter) {
  const at::Tensor n = counter.sum().to(at::kFloat);
  const at::Tensor slope = per_channel(invstd.square().mul(sum_dy_xmu.div(n)), input);
  at::Tensor out = widened(grad).sub(per_channel(sum_dy.div(n), input));
  out.sub_(widened(input).sub(per_channel(mean, input)).mul_(slope)).mul_(per_channel(invstd, input));
  if (weight.defined()) out.mul_(per_channel(weight, input));
  return out;
}

at::Tensor round_off(const at::Tensor& x, int64_t mode) {
  switch (mode) {
    case 2: return x.floor();
    case 3: return x.ceil();
    case 4: return x.abs().add(0.5).floor().mul(x.sign());
    case 5: return x.trunc();
    case 6: {  // half to odd: half to even of a neighbour
      const at::Tensor half = x.sub(x.floor()).eq(0.5);
      const at::Tensor odd = x.floor().remainder(2).ne(0);
      return at::where(half, at::where(odd, x.floor(), x.ceil()), x.round());
    }
    case 7: return x.frac();
    default: return x.round();
  }
}

at::Tensor ctc_alpha(const at::Tensor& alpha, at::IntArrayRef target_lengths) {
  int64_t longest = 0;
  for (int64_t n : target_lengths) longest = std::max(longest, n);
  return alpha.narrow(-1, 0, std::min(2 * longest + 1, alpha.size(-1)));
}

ThreeTensors svd(const at::Tensor& input, bool full, bool vectors) {
  if (!vectors) return {at::Tensor(), at::linalg_svdvals(input), at::Tensor()};
  auto [u, s, vh] = at::linalg_svd(input, full);
  return {u, s, vh.mH()};
}

void fused_sgd(const at::Tensor& parameter, const at::Tensor& grad, const at::Tensor& momentum_buffer, const at::Tensor& grad_scale,
               double weight_decay, double momentum, double lr, double dampening, bool nesterov, bool maximize, bool first) {
  if (grad_scale.defined()) grad.div_(cast_as(grad_scale, grad));
  at::Tensor g = maximize ? grad.neg() : grad;
  if (weight_decay != 0) g = g.add(parameter, weight_decay);
  if (momentum_buffer.defined() && momentum != 0) {
    if (first) {
      momentum_buffer.copy_(g);
    } else {
      momentum_buffer.mul_(momentum).add_(g, 1 - dampening);
    }
    g = nesterov ? g.add(momentum_buffer, momentum) : momentum_buffer;
  }
  parameter.add_(g, -lr);
}

void apply_adamw(const at::Tensor& var, const at::Tensor& m, const at::Tensor& v, const at::Tensor& max_v, const at::Tensor& grad,
                 const at::Tensor& step, double lr, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
                 bool maximize) {
  const double t = step.item<double>() + 1;  // CANN counts the steps before this one
  const at::Tensor g = maximize ? grad.neg() : grad;
  var.mul_(1 - lr * weight_decay);
  m.lerp_(cast_as(g, m), 1 - beta1);
  v.mul_(beta2).addcmul_(cast_as(g, v), cast_as(g, v), 1 - beta2);
  at::Tensor second = v;
  if (amsgrad && max_v.defined()) second = at::maximum_out(const_cast<at::Tensor&>(max_v), max_v, v);
  const double correction1 = 1 - std::pow(beta1, t), correction2 = 1 - std::pow(beta2, t);
  const at::Tensor denominator = second.sqrt().div_(std::sqrt(correction2)).add_(eps);
  var.addcdiv_(cast_as(m, var), cast_as(denominator, var), -lr / correction1);
}

}  // namespace softcann::ops
