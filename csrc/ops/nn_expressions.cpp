#include "ops/nn_expressions.h"

#include <ATen/Functions.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Reduction.h>
#include <ATen/native/Pool.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace torch_npu::ops {

// ---- convolution ----------------------------------------------------------------------------------------------------
namespace {

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, IntArrayRef kernel_size, const OptionalTensor& bias,
                       IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, bool transposed, IntArrayRef output_padding,
                       int64_t groups) {
  const auto spatial = static_cast<int64_t>(kernel_size.size());
  TORCH_CHECK(weight.dim() == spatial + 2 && weight.sizes().slice(2) == kernel_size, "Expected weight of kernel size ", kernel_size,
              ", but got a weight of size ", weight.sizes());
  TORCH_CHECK(input.dim() == spatial + 1 || input.dim() == spatial + 2, "Expected ", spatial + 1, "D or ", spatial + 2,
              "D (batch mode) tensor for input, but got: ", input.sizes());
  const bool single = input.dim() == spatial + 1;
  const at::Tensor out = at::convolution(single ? input.unsqueeze(0) : input, weight, bias, stride, padding, dilation, transposed,
                                         output_padding, groups);
  return single ? out.squeeze(0) : out;
}

}  // namespace

at::Tensor convolve(const at::Tensor& input, const at::Tensor& weight, IntArrayRef kernel_size, const OptionalTensor& bias,
                    IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups) {
  const DimVector zeros(kernel_size.size(), 0);
  return convolution(input, weight, kernel_size, bias, stride, padding, dilation, false, zeros, groups);
}

at::Tensor convolve_transposed(const at::Tensor& input, const at::Tensor& weight, IntArrayRef kernel_size, const OptionalTensor& bias,
                               IntArrayRef stride, IntArrayRef padding, IntArrayRef output_padding, IntArrayRef dilation) {
  return convolution(input, weight, kernel_size, bias, stride, padding, dilation, true, output_padding, 1);
}

void check_pairs(std::initializer_list<std::pair<const char*, IntArrayRef>> named) {
  for (const auto& [name, pair] : named) TORCH_CHECK(pair.size() == 2, "It is expected ", name, " equals to 2, but got size ", pair.size());
}

void check_output_padding(IntArrayRef output_padding, IntArrayRef stride, IntArrayRef dilation) {
  const auto at = [](IntArrayRef v, size_t i) { return v.empty() ? 1 : v.size() == 1 ? v[0] : v.at(i); };
  for (size_t i = 0; i < output_padding.size(); ++i) {
    TORCH_CHECK(output_padding[i] < at(stride, i) || output_padding[i] < at(dilation, i),
                "output padding must be smaller than either stride or dilation, but got output_padding: ", output_padding, " stride: ", stride,
                " dilation: ", dilation);
  }
}

DimVector conv_tbc_sizes(const at::Tensor& self, const at::Tensor& weight, const at::Tensor& bias, int64_t pad) {
  TORCH_CHECK(self.dim() == 3, "Input must have 3 dims: time, batch, in_channel");
  TORCH_CHECK(weight.dim() == 3, "Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.");
  TORCH_CHECK(bias.dim() == 1, "Bias must be 1-D");
  TORCH_CHECK(self.size(2) == weight.size(1), "Input dim 2 (input channels) is not == dim 1 in the weight tensor.");
  TORCH_CHECK(weight.size(2) == bias.size(0), "Bias size must equal dim 2 in the weight tensor (output channels).");
  return {self.size(0) - weight.size(0) + 1 + 2 * pad, self.size(1), weight.size(2)};
}

// ---- pooling --------------------------------------------------------------------------------------------------------
DimVector triple(IntArrayRef sizes) { return sizes.size() == 1 ? DimVector(3, sizes[0]) : DimVector(sizes); }

Spec max_pool3d_spec(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                     bool ceil_mode, ScalarType dtype) {
  const auto one_or_three = [](IntArrayRef v) { return v.size() == 1 || v.size() == 3; };
  TORCH_CHECK(one_or_three(kernel_size), "max_pool3d: kernel_size must either be a single int, or a tuple of three ints");
  TORCH_CHECK(stride.empty() || one_or_three(stride), "max_pool3d: stride must either be omitted, a single int, or a tuple of three ints");
  TORCH_CHECK(one_or_three(padding), "max_pool3d: padding must either be a single int, or a tuple of three ints");
  TORCH_CHECK(one_or_three(dilation), "max_pool3d: dilation must be either a single int, or a tuple of three ints");
  TORCH_CHECK(self.dim() == 4 || self.dim() == 5, "Expected 4D or 5D (batch mode) tensor with optional 0 dim batch size for input, but got: ",
              self.sizes());
  const DimVector k = triple(kernel_size), s = stride.empty() ? k : triple(stride), p = triple(padding), d = triple(dilation);
  DimVector sizes(self.sizes());
  const auto extent = [&](int64_t i) {
    return at::native::pooling_output_shape<int64_t>(self.size(i - 3), k[i], p[i], s[i], d[i], ceil_mode);
  };
  for (int64_t i = 0; i < 3; ++i) sizes[self.dim() - 3 + i] = extent(i);
  at::native::pool3d_shape_check(self, self.size(-4), k[0], k[1], k[2], s[0], s[1], s[2], p[0], p[1], p[2], d[0], d[1], d[2],
                                 self.size(-3), self.size(-2), self.size(-1), extent(0), extent(1), extent(2), "max_pool3d_with_indices()");
  Spec spec = shaped(sizes, dtype);
  if (self.dim() == 5 && self.suggest_memory_format() == at::MemoryFormat::ChannelsLast3d) {
    spec.strides = DimVector(c10::get_channels_last_strides_3d(sizes));
  }
  return spec;
}

namespace {
void check_unpool(const at::Tensor& self, const at::Tensor& indices) {
  TORCH_CHECK(indices.scalar_type() == at::kLong, "elements in indices should be type int64 but got: ", indices.scalar_type());
  TORCH_CHECK(self.sizes() == indices.sizes(), "Expected shape of indices to be same as that of the input tensor (", self.sizes(),
              ") but got indices tensor with shape: ", indices.sizes());
}
}  // namespace

DimVector max_unpool2d_sizes(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size) {
  TORCH_CHECK(output_size.size() == 2, "There should be exactly two elements (height, width) in output_size, but got ", output_size.size(),
              " elements.");
  TORCH_CHECK(self.dim() == 3 || self.dim() == 4, "Input to max_unpooling2d should be a 3d or 4d Tensor, but got a tensor with ",
              self.dim(), " dimensions.");
  check_unpool(self, indices);
  DimVector sizes(self.sizes().slice(0, self.dim() - 2));
  sizes.append(output_size.begin(), output_size.end());
  return sizes;
}

DimVector max_unpool3d_sizes(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size, IntArrayRef stride,
                             IntArrayRef padding) {
  TORCH_CHECK(output_size.size() == 3, "There should be exactly three elements (depth, height, width) in output_size, but got ",
              output_size.size(), " elements.");
  TORCH_CHECK(stride.size() == 3, "There should be exactly three elements (depth, height, width) in stride, but got: ", stride.size(),
              " elements.");
  TORCH_CHECK(padding.size() == 3, "There should be exactly three elements (depth, height, width) in padding, but got: ", padding.size(),
              " elements.");
  TORCH_CHECK(self.dim() == 4 || self.dim() == 5, "Input to max_unpooling3d should be a 4d or 5d Tensor, but got a tensor with ",
              self.dim(), " dimensions.");
  check_unpool(self, indices);
  TORCH_CHECK(stride[0] > 0 && stride[1] > 0 && stride[2] > 0, "strides should be greater than zero, but got stride: ", stride);
  DimVector sizes(self.sizes().slice(0, self.dim() - 3));
  sizes.append(output_size.begin(), output_size.end());
  return sizes;
}

TwoTensors max_pool2d_of(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                         IntArrayRef out_sizes) {
  struct Axis {
    int64_t size, out, kernel, stride, padding, dilation, padded;
  };
  const auto axis = [&](size_t i) {
    const auto of = [i](IntArrayRef pair) { return pair[pair.size() == 1 ? 0 : i]; };
    Axis a{self.size(static_cast<int64_t>(i) - 2), out_sizes[out_sizes.size() - 2 + i], of(kernel_size), of(stride), of(padding), of(dilation), 0};
    // With ceil_mode the last window may reach beyond the padding.
    a.padded = std::max(a.size + 2 * a.padding, (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1);
    return a;
  };
  const Axis h = axis(0), w = axis(1);
  const int64_t planes = self.numel() / (h.size * w.size), elements = h.kernel * w.kernel;
  const at::Tensor padded = at::constant_pad_nd(self.reshape({planes, h.size, w.size}),
                                                {w.padding, w.padded - w.size - w.padding, h.padding, h.padded - h.size - h.padding},
                                                -std::numeric_limits<double>::infinity()).contiguous();
  const at::Tensor windows = padded.as_strided({planes, h.out, w.out, h.kernel, w.kernel}, {h.padded * w.padded, h.stride * w.padded, w.stride,
                                                                                            h.dilation * w.padded, w.dilation});
  const auto [maximum, where] = windows.reshape({planes, h.out * w.out, elements}).max(2);
  const auto integers = self.options().dtype(at::kLong);
  const at::Tensor chosen = where.reshape({-1});
  // Where a whole window is -inf its maximum may be padding: the index stays within the plane.
  const auto positions = [&](const Axis& a, const at::Tensor& within, IntArrayRef along) {
    const at::Tensor starts = at::arange(a.out, integers).mul(a.stride).sub(a.padding).view(along);
    return within.mul(a.dilation).index_select(0, chosen).view({planes, h.out, w.out}).add(starts).clamp(0, a.size - 1);
  };
  const at::Tensor row = at::arange(h.kernel, integers).unsqueeze(1).expand({h.kernel, w.kernel}).reshape({elements});
  const at::Tensor column = at::arange(w.kernel, integers).repeat({h.kernel});
  const at::Tensor index = positions(h, row, {1, h.out, 1}).mul(w.size).add(positions(w, column, {1, 1, w.out}));
  return {maximum.reshape(out_sizes), index.reshape(out_sizes)};
}

at::Tensor max_pool2d_gradient_of(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& indices) {
  const int64_t area = self.size(-1) * self.size(-2), planes = self.numel() / area;
  return at::zeros({planes, area}, self.options()).scatter_add(1, indices.reshape({planes, -1}), grad.reshape({planes, -1})).reshape(self.sizes());
}

TwoTensors fractional_max_pool(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef output_size, const at::Tensor& samples) {
  const auto n = static_cast<int64_t>(kernel_size.size());
  TORCH_CHECK(self.dim() == n + 1 || self.dim() == n + 2, "fractional_max_pool", n, "d(): Expected ", n + 1, "D or ", n + 2,
              "D tensor, but got: ", self.sizes());
  TORCH_CHECK(static_cast<int64_t>(output_size.size()) == n, "fractional_max_pool", n, "d: output_size must either be a single int or a tuple");
  TORCH_CHECK(samples.scalar_type() == self.scalar_type(), "Expect _random_samples to have the same dtype as input");
  TORCH_CHECK(samples.dim() == 3 && samples.size(2) == n, "Expect _random_samples to have 3 dimensions, the last of size ", n, "; got ",
              samples.sizes());
  const int64_t batch = self.dim() == n + 2 ? self.size(0) : 1, planes = self.size(-n - 1);
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(kernel_size[i] > 0, "fractional_max_pool", n, "d: kernel_size should be greater than zero, but got ", kernel_size);
    TORCH_CHECK(output_size[i] + kernel_size[i] - 1 <= self.size(i - n), "fractional_max_pool", n, "d: kernel_size ", kernel_size[i],
                " is too large relative to the input's size ", self.size(i - n));
  }
  const auto integers = self.options().dtype(at::kLong);
  at::Tensor flat;  // [batch, planes, out..., kernel...]: position of every element of every window
  for (int64_t i = 0; i < n; ++i) {
    const int64_t size = self.size(i - n), kernel = kernel_size[i], out = output_size[i], last = size - kernel;
    // Two dimensions are sampled in the order width, height; three in the order of the sizes.
    const at::Tensor sample = samples.select(2, n == 2 ? 1 - i : i).unsqueeze(-1);
    at::Tensor start = at::full({1}, last, integers);
    if (out > 1) {
      const double alpha = static_cast<double>(last) / static_cast<double>(out - 1);
      const at::Tensor step = at::full({}, alpha, self.options());
      const at::Tensor begin = sample.add(at::arange(out - 1, self.options())).mul(step).to(at::kLong).sub(sample.mul(step).to(at::kLong));
      start = at::cat({begin, start.expand({begin.size(0), begin.size(1), 1})}, 2);
    } else {
      start = start.expand({samples.size(0), samples.size(1), 1});
    }
    const at::Tensor positions = start.unsqueeze(-1).add(at::arange(kernel, integers));
    DimVector shape(2 + 2 * n, 1);
    shape[0] = samples.size(0), shape[1] = samples.size(1), shape[2 + i] = out, shape[2 + n + i] = kernel;
    const at::Tensor placed = positions.reshape(shape);
    flat = flat.defined() ? flat.mul(size).add(placed) : placed;
  }
  int64_t windows = 1, elements = 1, area = 1;
  for (int64_t i = 0; i < n; ++i) windows *= output_size[i], elements *= kernel_size[i], area *= self.size(i - n);
  flat = flat.slice(0, 0, batch).reshape({batch, planes, windows * elements});
  const at::Tensor values = self.reshape({batch, planes, area}).gather(2, flat).view({batch, planes, windows, elements});
  const auto [maximum, where] = values.max(-1, /*keepdim=*/true);
  const at::Tensor index = flat.view({batch, planes, windows, elements}).gather(3, where);
  DimVector sizes(self.sizes().slice(0, self.dim() - n));
  sizes.append(output_size.begin(), output_size.end());
  return {maximum.reshape(sizes), index.reshape(sizes)};
}

at::Tensor fractional_max_pool_backward(const at::Tensor& grad, const at::Tensor& self, IntArrayRef output_size, const at::Tensor& indices) {
  const auto n = static_cast<int64_t>(output_size.size());
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(grad.size(i - n) == output_size[i], "fractional_max_pool", n, "d_backward(): gradOutput dim ", i, " unexpected");
  }
  const at::Tensor zeros = at::zeros(self.sizes(), self.options()).flatten(-n);
  return zeros.scatter_add(-1, indices.flatten(-n), grad.flatten(-n)).view(self.sizes());
}

// ---- normalisation --------------------------------------------------------------------------------------------------
at::Tensor or_ones(const OptionalTensor& weight, IntArrayRef shape, const at::Tensor& like) {
  return given(weight) ? *weight : at::ones(shape, like.options());
}

double epsilon_of(optional<double> eps, ScalarType dtype) {
  if (eps.has_value()) return *eps;
  switch (dtype) {
    case at::kDouble: case at::kComplexDouble: return std::numeric_limits<double>::epsilon();
    case at::kHalf: return std::numeric_limits<c10::Half>::epsilon();
    case at::kBFloat16: return std::numeric_limits<c10::BFloat16>::epsilon();
    default: return std::numeric_limits<float>::epsilon();
  }
}

DimVector rows_of(const at::Tensor& input, IntArrayRef normalized_shape) {
  DimVector rows(input.sizes());
  std::fill(rows.end() - static_cast<int64_t>(normalized_shape.size()), rows.end(), 1);
  return rows;
}

TwoTensors rms_norm_backward(const at::Tensor& grad, const at::Tensor& input, IntArrayRef normalized_shape, const at::Tensor& rstd,
                             const OptionalTensor& weight, std::array<bool, 2> mask) {
  DimVector dims(normalized_shape.size());
  std::iota(dims.begin(), dims.end(), -static_cast<int64_t>(dims.size()));
  const at::Tensor hat = input.mul(rstd);
  at::Tensor grad_input, grad_weight;
  if (mask[0]) {
    const at::Tensor inner = given(weight) ? grad.mul(weight->conj()) : grad;
    grad_input = inner.sub(hat.mul(inner.mul(hat.conj()).mean(dims, true))).mul(rstd);
  }
  if (mask[1] && given(weight)) grad_weight = grad.mul(hat.conj()).sum_to_size(normalized_shape);
  return {grad_input, grad_weight};
}

TwoTensors batch_norm_update(const at::Tensor& input, const OptionalTensor& running_mean, const OptionalTensor& running_var, double momentum) {
  DimVector dims;
  for (int64_t i = 0; i < input.dim(); ++i) {
    if (i != 1) dims.push_back(i);
  }
  const auto [variance, mean] = at::var_mean(input, dims, /*unbiased=*/false, /*keepdim=*/false);
  for (const OptionalTensor& running : {running_mean, running_var}) {
    TORCH_CHECK(!given(running) || running->sizes() == mean.sizes(), "running statistics should contain ", mean.numel(), " elements not ",
                given(running) ? running->sizes() : IntArrayRef());
  }
  if (given(running_mean)) running_mean->mul_(1 - momentum).add_(mean, momentum);
  if (given(running_var)) {
    const double n = static_cast<double>(input.numel()) / static_cast<double>(input.size(1));
    running_var->mul_(1 - momentum).add_(variance, momentum * n / (n - 1));
  }
  return {mean, variance};
}

TwoTensors weight_norm(const at::Tensor& v, const at::Tensor& g, int64_t dim) {
  const at::Tensor norms = at::norm_except_dim(at::isReducedFloatingType(v.scalar_type()) ? v.to(at::kFloat) : v, 2, dim);
  return {v.mul(g.div(norms)).to(v.scalar_type()), norms};
}

TwoTensors weight_norm_backward(const at::Tensor& grad, const at::Tensor& v, const at::Tensor& g, const at::Tensor& norms, int64_t dim) {
  const int64_t kept = at::maybe_wrap_dim(dim, v.dim());
  DimVector dims;
  for (int64_t i = 0; i < v.dim(); ++i) {
    if (i != kept) dims.push_back(i);
  }
  const at::Tensor wide = v.to(norms.scalar_type()), grad_w = grad.to(norms.scalar_type()), factor = g.to(norms.scalar_type());
  const at::Tensor inner = dims.empty() ? grad_w.mul(wide) : grad_w.mul(wide).sum(dims, true);
  const at::Tensor grad_v = factor.div(norms).mul(grad_w.sub(wide.mul(inner).div(norms.mul(norms))));
  return {grad_v.to(v.scalar_type()), inner.div(norms).to(g.scalar_type())};
}

// ---- losses ---------------------------------------------------------------------------------------------------------
DimVector ctc_alpha_sizes(const at::Tensor& log_probs, const at::Tensor& targets, IntArrayRef input_lengths, IntArrayRef target_lengths,
                          int64_t blank) {
  TORCH_CHECK(log_probs.dim() == 3, "log_probs must be of size (input length, batch size, number of classes), got ", log_probs.sizes());
  TORCH_CHECK(targets.scalar_type() == at::kLong || targets.scalar_type() == at::kInt, "Expected tensor for argument #2 'targets' to have ",
              "one of the following scalar types: Long, Int; but got ", targets.toString(), " instead (while checking arguments for ctc_loss)");
  const int64_t batch = log_probs.size(1);
  TORCH_CHECK(log_probs.numel() > 0, "log_probs tensor must not be empty");
  TORCH_CHECK(0 <= blank && blank < log_probs.size(2), "blank must be in label range");
  TORCH_CHECK(static_cast<int64_t>(input_lengths.size()) == batch, "input_lengths must be of size batch_size");
  TORCH_CHECK(static_cast<int64_t>(target_lengths.size()) == batch, "target_lengths must be of size batch_size");
  int64_t longest = 0, all = 0;
  for (int64_t b = 0; b < batch; ++b) {
    TORCH_CHECK(target_lengths[b] >= 0, "Expected target_lengths to have value at least 0, but got value ", target_lengths[b],
                " (while checking arguments for ctc_loss)");
    TORCH_CHECK(input_lengths[b] >= 0, "Expected input_lengths to have value at least 0, but got value ", input_lengths[b],
                " (while checking arguments for ctc_loss)");
    TORCH_CHECK(input_lengths[b] <= log_probs.size(0), "Expected input_lengths to have value at most ", log_probs.size(0),
                ", but got value ", input_lengths[b], " (while checking arguments for ctc_loss)");
    longest = std::max(longest, target_lengths[b]);
    all += target_lengths[b];
  }
  if (targets.dim() == 1) {
    TORCH_CHECK(targets.size(0) == all, "Expected tensor to have size ", all, " at dimension 0, but got size ", targets.size(0),
                " for argument #2 'targets' (while checking arguments for ctc_loss)");
  } else {
    TORCH_CHECK(targets.dim() == 2 && targets.size(0) == batch, "targets must be 1-D, or of size (batch size, longest target); got ",
                targets.sizes());
    TORCH_CHECK(targets.size(1) >= longest, "Expected tensor to have size at least ", longest, " at dimension 1, but got size ",
                targets.sizes(), " for argument #2 'targets' (while checking arguments for ctc_loss)");
  }
  return {batch, log_probs.size(0), (2 * longest + 1 + 7) / 8 * 8};  // the device works on eight states at a time
}

std::vector<int64_t> host_lengths(const at::Tensor& lengths) {
  TORCH_CHECK(at::isIntegralType(lengths.scalar_type(), false), "input_lengths and target_lengths must be integral");
  const at::Tensor host = lengths.to(at::Device(at::kCPU), at::kLong).contiguous();
  return {host.data_ptr<int64_t>(), host.data_ptr<int64_t>() + host.numel()};
}

namespace {

at::Tensor reduced_loss(const at::Tensor& loss, int64_t reduction) {
  return reduction == at::Reduction::Mean ? loss.mean() : reduction == at::Reduction::Sum ? loss.sum() : loss;
}

struct MultiMargin {
  at::Tensor input, index, slack, weight;  // [rows, classes], [rows, 1], margin - x_target + x, [rows, 1] or undefined
  bool single;
};

MultiMargin multi_margin_terms(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p, const at::Scalar& margin,
                               const OptionalTensor& weight) {
  TORCH_CHECK(p.equal(1) || p.equal(2), "only p == 1 and p == 2 supported");
  TORCH_CHECK(self.dim() <= 2 && (self.numel() > 0 || (self.dim() == 2 && self.size(1) > 0)),
              "Expected non-empty vector or matrix with optional 0-dim batch size, but got: ", self.sizes());
  const bool single = self.dim() < 2;
  const at::Tensor input = single ? self.reshape({1, -1}) : self;
  TORCH_CHECK(target.dim() <= 1 && target.numel() == input.size(0), "multi_margin_loss: target tensor should be 1-D with size equal to ",
              "the number of input samples (batch size). Expected target size [", input.size(0), "], but got ", target.sizes(),
              ". Input has shape ", self.sizes(), ".");
  TORCH_CHECK(!given(weight) || (weight->dim() <= 1 && weight->numel() == input.size(1)), "inconsistent weight size, expected ",
              input.size(1), " but got ", given(weight) ? weight->sizes() : IntArrayRef());
  TORCH_CHECK(target.scalar_type() == at::kLong, "expected scalar type Long but found ", target.scalar_type());
  const at::Tensor index = target.reshape({-1, 1});
  const at::Tensor slack = input.gather(1, index).neg().add(margin).add(input);
  return {input, index, slack, given(weight) ? weight->reshape({-1}).index_select(0, index.view(-1)).unsqueeze(1) : at::Tensor(), single};
}

}  // namespace

at::Tensor multi_margin(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p, const at::Scalar& margin,
                        const OptionalTensor& weight, int64_t reduction) {
  const MultiMargin m = multi_margin_terms(self, target, p, margin, weight);
  at::Tensor terms = m.slack.clamp_min(0);
  if (p.equal(2)) terms = terms.mul(terms);
  if (m.weight.defined()) terms = terms.mul(m.weight);
  const at::Tensor loss = terms.scatter(1, m.index, 0).sum(1).div(m.input.size(1));
  if (reduction != at::Reduction::None) return reduced_loss(loss, reduction);
  return loss.view(target.sizes());
}

at::Tensor multi_margin_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target, const at::Scalar& p,
                                 const at::Scalar& margin, const OptionalTensor& weight, int64_t reduction) {
  const MultiMargin m = multi_margin_terms(self, target, p, margin, weight);
  const double share = 1.0 / static_cast<double>(m.input.size(1));
  at::Tensor slopes = p.equal(2) ? m.slack.clamp_min(0).mul(2 * share) : m.slack.gt(0).to(self.scalar_type()).mul(share);
  if (m.weight.defined()) slopes = slopes.mul(m.weight);
  slopes = slopes.scatter(1, m.index, 0);
  slopes = slopes.scatter(1, m.index, slopes.sum(1, true).neg());
  if (reduction == at::Reduction::Mean) slopes = slopes.div(m.input.size(0));
  return slopes.mul(reduction == at::Reduction::None ? grad.reshape({-1, 1}) : grad).view(self.sizes());
}

DimVector multilabel_margin_sizes(const at::Tensor& self, const at::Tensor& target, int64_t reduction) {
  TORCH_CHECK(self.dim() <= 2 && (self.numel() > 0 || (self.dim() == 2 && self.size(1) > 0)),
              "Expected non-empty vector or matrix with optional 0-dim batch size, but got: ", self.sizes());
  TORCH_CHECK(self.dim() < 2 ? target.dim() <= 1 && target.numel() == self.numel() : target.sizes() == self.sizes(),
              "inconsistent target size: ", target.sizes(), " for input of size: ", self.sizes());
  return reduction == at::Reduction::None && self.dim() == 2 ? DimVector{self.size(0)} : DimVector{};
}

at::Tensor multilabel_margin_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target, int64_t reduction,
                                      const at::Tensor& is_target) {
  multilabel_margin_sizes(self, target, reduction);
  TORCH_CHECK(is_target.sizes() == target.sizes(), "inconsistent is_target size: ", is_target.sizes(), " for target of size: ", target.sizes());
  const int64_t classes = self.dim() == 0 ? 1 : self.size(-1), rows = self.dim() == 2 ? self.size(0) : 1;
  const at::Tensor x = self.reshape({rows, classes}), labels = target.reshape({rows, classes});
  const at::Tensor listed = labels.ge(0).to(at::kInt).cumprod(1).to(at::kBool);  // the labels before the first negative one
  const at::Tensor index = labels.clamp_min(0);
  // [rows, label, class]: whether the class violates the label's margin
  const at::Tensor slack = x.gather(1, index).neg().add(1).unsqueeze(2).add(x.unsqueeze(1));
  const at::Tensor others = is_target.reshape({rows, 1, classes}).eq(0);
  const at::Tensor active = slack.gt(0).logical_and(listed.unsqueeze(2)).logical_and(others).to(self.scalar_type());
  at::Tensor slopes = active.sum(1).scatter_add(1, index, active.sum(2).neg()).div(classes);
  if (reduction == at::Reduction::Mean) slopes = slopes.div(rows);
  return slopes.mul(reduction == at::Reduction::None ? grad.reshape({-1, 1}) : grad).view(self.sizes());
}

at::Tensor pdist_backward(const at::Tensor& grad, const at::Tensor& self, double p, const at::Tensor& distances) {
  const int64_t n = self.size(0);
  if (n <= 1 || self.size(1) == 0 || p == 0) return at::zeros(self.sizes(), self.options());
  // Row i of cdist's gradient is what the pairs (i, j) contribute to row i: every pair has to be there twice.
  const at::Tensor upper = at::ones({n, n}, self.options().dtype(at::kBool)).triu(1);
  const auto square = [&](const at::Tensor& pairs) {
    const at::Tensor half = at::zeros({n, n}, self.options()).masked_scatter(upper, pairs.contiguous());
    return half.add(half.t()).contiguous();
  };
  return at::_cdist_backward(square(grad), self.contiguous(), self.contiguous(), p, square(distances));
}

// ---- resampling -----------------------------------------------------------------------------------------------------
namespace {

// [out, in]: the normalised Lanczos-3 weights of each output position, widened by the scale when it shrinks.
at::Tensor lanczos_weights(int64_t in, int64_t out, bool align_corners, optional<double> factor, const at::TensorOptions& options) {
  const double scale = align_corners ? (out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0)
                       : factor.has_value() && *factor > 0 ? 1.0 / *factor
                                                            : static_cast<double>(in) / static_cast<double>(out);
  constexpr double kRadius = 3;
  const double support = scale >= 1 ? kRadius * scale : kRadius, inverse = scale >= 1 ? 1 / scale : 1;
  const at::Tensor center = at::arange(out, options).add(0.5).mul(scale).unsqueeze(1);
  const at::Tensor position = at::arange(in, options).unsqueeze(0);
  const at::Tensor low = center.sub(support).add(0.5).trunc().clamp_min(0), high = center.add(support).add(0.5).trunc().clamp_max(in);
  const at::Tensor x = position.sub(center).add(0.5).mul(inverse);
  const at::Tensor inside = position.ge(low).logical_and(position.lt(high)).logical_and(x.abs().lt(kRadius));
  const at::Tensor weights = at::sinc(x).mul(at::sinc(x.div(kRadius))).mul(inside);
  return weights.div(weights.sum(1, true));
}

std::pair<at::Tensor, at::Tensor> lanczos_pair(const at::Tensor& t, IntArrayRef in, IntArrayRef out, bool align_corners,
                                               optional<double> scale_h, optional<double> scale_w) {
  const auto options = t.options().dtype(at::kFloat);
  return {lanczos_weights(in[0], out[0], align_corners, scale_h, options), lanczos_weights(in[1], out[1], align_corners, scale_w, options)};
}

}  // namespace

at::Tensor lanczos(const at::Tensor& self, IntArrayRef output_size, bool align_corners, optional<double> scale_h,
                   optional<double> scale_w) {
  TORCH_CHECK(output_size.size() == 2, "It is expected output_size equals to 2, but got size ", output_size.size());
  TORCH_CHECK(self.dim() == 4 && self.numel() > 0, "Non-empty 4D data tensor expected but got a tensor with sizes ", self.sizes());
  const auto [rows, columns] = lanczos_pair(self, self.sizes().slice(2), output_size, align_corners, scale_h, scale_w);
  const at::Tensor out = at::matmul(at::matmul(rows, self.to(at::kFloat)), columns.t());
  if (self.scalar_type() == at::kByte) return out.round().clamp(0, 255).to(at::kByte);
  return out.to(self.scalar_type());
}

at::Tensor lanczos_backward(const at::Tensor& grad, IntArrayRef output_size, IntArrayRef input_size, bool align_corners,
                            optional<double> scale_h, optional<double> scale_w) {
  TORCH_CHECK(output_size.size() == 2 && input_size.size() == 4, "It is expected output_size of length 2 and input_size of length 4");
  const auto [rows, columns] = lanczos_pair(grad, input_size.slice(2), output_size, align_corners, scale_h, scale_w);
  return at::matmul(at::matmul(rows.t(), grad.to(at::kFloat)), columns).to(grad.scalar_type());
}

// ---- embedding bags -------------------------------------------------------------------------------------------------
void check_index_type(const at::Tensor& indices, const char* op) {
  TORCH_CHECK(indices.scalar_type() == at::kLong || indices.scalar_type() == at::kInt,
              "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got ",
              indices.toString(), " instead (while checking arguments for ", op, ")");
}

void check_embedding_bag(const at::Tensor& weight, const at::Tensor& indices, const at::Tensor& offsets, int64_t mode,
                         const OptionalTensor& per_sample_weights, bool include_last_offset) {
  TORCH_CHECK(indices.dim() == 1 || indices.dim() == 2, "input has to be a 1D or 2D Tensor, but got Tensor of dimension ", indices.dim());
  if (indices.dim() == 1) TORCH_CHECK(offsets.dim() == 1, "offsets has to be a 1D Tensor, but got Tensor of dimension ", offsets.dim());
  TORCH_CHECK(weight.dim() == 2, "weight has to be a 2D Tensor, but got Tensor of dimension ", weight.dim());
  check_index_type(indices, "embedding_bag");
  check_index_type(offsets, "embedding_bag");
  TORCH_CHECK(!include_last_offset || offsets.size(0) >= 1, "include_last_offset: number of offset should be at least 1");
  if (!given(per_sample_weights)) return;
  TORCH_CHECK(mode == kBagSum, "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum'");
  TORCH_CHECK(per_sample_weights->dim() == 1 && per_sample_weights->numel() == indices.numel(),
              "expected per_sample_weights to be 1-D and of the same length as the indices");
  TORCH_CHECK(per_sample_weights->scalar_type() == weight.scalar_type(), "expected scalar type ", weight.scalar_type(),
              " but found ", per_sample_weights->scalar_type(), " for per_sample_weights");
}

at::Tensor bag_of_each(const at::Tensor& indices, const at::Tensor& offsets, const at::Tensor& offset2bag) {
  if (offset2bag.numel() != 0 || indices.numel() == 0) {
    TORCH_CHECK(offset2bag.numel() == indices.numel(), "offset2bag has ", offset2bag.numel(), " elements, indices have ", indices.numel());
    return offset2bag;
  }
  return at::searchsorted(offsets, at::arange(indices.numel(), offsets.options()), /*out_int32=*/false, /*right=*/true).sub_(1);
}

at::Tensor embedding_bag_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offset2bag, const at::Tensor& bag_size,
                                  const at::Tensor& maximum_indices, int64_t num_weights, bool scale_grad_by_freq, int64_t mode,
                                  const OptionalTensor& per_sample_weights, int64_t padding_idx) {
  if (mode == kBagMax) {
    const at::Tensor filled = grad.masked_fill(bag_size.eq(0).unsqueeze(1), 0);
    return at::zeros({num_weights, grad.size(1)}, grad.options()).scatter_add(0, maximum_indices.to(at::kLong), filled);
  }
  at::Tensor per_index = grad.index_select(0, offset2bag);
  if (mode == kBagMean) per_index = per_index.div(bag_size.index_select(0, offset2bag).clamp_min(1).unsqueeze(1));
  if (given(per_sample_weights)) per_index = per_index.mul(per_sample_weights->unsqueeze(1));
  return at::embedding_dense_backward(per_index, indices, num_weights, padding_idx, scale_grad_by_freq);
}

at::Tensor embedding_bag_weights_backward(const at::Tensor& grad, const at::Tensor& weight, const at::Tensor& indices,
                                          const at::Tensor& offset2bag, int64_t padding_idx) {
  const at::Tensor products = grad.index_select(0, offset2bag).mul(weight.index_select(0, indices)).sum(1);
  return padding_idx < 0 ? products : products.masked_fill(indices.eq(padding_idx), 0);
}

}  // namespace torch_npu::ops
