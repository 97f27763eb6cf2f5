// What the rows of the neural-network tables (conv, pool, norm, loss, resample, embedding) use in their expressions: output
// sizes with PyTorch's checks, and operators composed of native ones where CANN has no function.
#pragma once

#include <array>
#include <initializer_list>
#include <tuple>
#include <utility>

#include "compat/compat.h"
#include "compat/reduced_types.h"
#include "ops/rules.h"

namespace torch_npu::ops {

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;
using ThreeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using OptionalTensor = optional<at::Tensor>;

inline bool given(const OptionalTensor& t) { return t.has_value() && t->defined(); }

// ---- convolution ----------------------------------------------------------------------------------------------------
// The convolutions that name their kernel size: as at::convolution, also without the batch dimension.
at::Tensor convolve(const at::Tensor& input, const at::Tensor& weight, IntArrayRef kernel_size, const OptionalTensor& bias,
                    IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups = 1);
at::Tensor convolve_transposed(const at::Tensor& input, const at::Tensor& weight, IntArrayRef kernel_size, const OptionalTensor& bias,
                               IntArrayRef stride, IntArrayRef padding, IntArrayRef output_padding, IntArrayRef dilation);
void check_pairs(std::initializer_list<std::pair<const char*, IntArrayRef>> named);  // that each has two elements
void check_output_padding(IntArrayRef output_padding, IntArrayRef stride, IntArrayRef dilation);
DimVector conv_tbc_sizes(const at::Tensor& self, const at::Tensor& weight, const at::Tensor& bias, int64_t pad);

// ---- pooling --------------------------------------------------------------------------------------------------------
DimVector triple(IntArrayRef sizes);  // one number stands for three
Spec max_pool3d_spec(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                     bool ceil_mode, ScalarType dtype);
// For a CANN without aclnnMaxPool2dWithIndices: values and flat indices of the maxima of floating-point planes; and the gradient.
TwoTensors max_pool2d_of(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                         IntArrayRef out_sizes);
at::Tensor max_pool2d_gradient_of(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& indices);
DimVector max_unpool2d_sizes(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size);
DimVector max_unpool3d_sizes(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size, IntArrayRef stride,
                             IntArrayRef padding);
// Value and flat index of the maximum of each pseudo-random window, over the last kernel_size.size() dimensions.
TwoTensors fractional_max_pool(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef output_size, const at::Tensor& samples);
at::Tensor fractional_max_pool_backward(const at::Tensor& grad, const at::Tensor& self, IntArrayRef output_size, const at::Tensor& indices);

// ---- normalisation --------------------------------------------------------------------------------------------------
// Statistics are in the input's type, or in float where parameters of a reduced type's input are float.
template <class... P>
ScalarType statistics_type(const at::Tensor& input, const P&... parameters) {
  const auto is_float = [](const OptionalTensor& t) { return given(t) && t->scalar_type() == at::kFloat; };
  return at::isReducedFloatingType(input.scalar_type()) && (is_float(parameters) || ...) ? at::kFloat : input.scalar_type();
}
inline int64_t channels_of(const at::Tensor& input) { return input.dim() > 1 ? input.size(1) : input.numel(); }
inline ScalarType dtype_or(const OptionalTensor& t, ScalarType otherwise) { return given(t) ? t->scalar_type() : otherwise; }
at::Tensor or_ones(const OptionalTensor& weight, IntArrayRef shape, const at::Tensor& like);
double epsilon_of(optional<double> eps, ScalarType dtype);
DimVector rows_of(const at::Tensor& input, IntArrayRef normalized_shape);  // the normalised dimensions are 1
TwoTensors rms_norm_backward(const at::Tensor& grad, const at::Tensor& input, IntArrayRef normalized_shape, const at::Tensor& rstd,
                             const OptionalTensor& weight, std::array<bool, 2> mask);
// Mean and biased variance over all dimensions but the channels; moves the running statistics.
TwoTensors batch_norm_update(const at::Tensor& input, const OptionalTensor& running_mean, const OptionalTensor& running_var, double momentum);
TwoTensors weight_norm(const at::Tensor& v, const at::Tensor& g, int64_t dim);
TwoTensors weight_norm_backward(const at::Tensor& grad, const at::Tensor& v, const at::Tensor& g, const at::Tensor& norms, int64_t dim);

// ---- recurrent cells, composed (recurrent.cpp) ----------------------------------------------------------------------
ThreeTensors lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cx, const OptionalTensor& input_bias,
                       const OptionalTensor& hidden_bias);
ThreeTensors lstm_cell_backward(const OptionalTensor& grad_hy, const OptionalTensor& grad_cy, const at::Tensor& cx, const at::Tensor& cy,
                                const at::Tensor& workspace, bool has_bias);

// ---- losses ---------------------------------------------------------------------------------------------------------
DimVector ctc_alpha_sizes(const at::Tensor& log_probs, const at::Tensor& targets, IntArrayRef input_lengths, IntArrayRef target_lengths,
                          int64_t blank);
std::vector<int64_t> host_lengths(const at::Tensor& lengths);
at::Tensor multi_margin(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p, const at::Scalar& margin,
                        const OptionalTensor& weight, int64_t reduction);
at::Tensor multi_margin_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target, const at::Scalar& p,
                                 const at::Scalar& margin, const OptionalTensor& weight, int64_t reduction);
DimVector multilabel_margin_sizes(const at::Tensor& self, const at::Tensor& target, int64_t reduction);
at::Tensor multilabel_margin_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target, int64_t reduction,
                                      const at::Tensor& is_target);
at::Tensor pdist_backward(const at::Tensor& grad, const at::Tensor& self, double p, const at::Tensor& distances);

// ---- resampling -----------------------------------------------------------------------------------------------------
at::Tensor lanczos(const at::Tensor& self, IntArrayRef output_size, bool align_corners, optional<double> scale_h,
                   optional<double> scale_w);
at::Tensor lanczos_backward(const at::Tensor& grad, IntArrayRef output_size, IntArrayRef input_size, bool align_corners,
                            optional<double> scale_h, optional<double> scale_w);

// ---- embedding bags -------------------------------------------------------------------------------------------------
void check_index_type(const at::Tensor& indices, const char* op);
enum BagMode : int64_t { kBagSum = 0, kBagMean = 1, kBagMax = 2 };
void check_embedding_bag(const at::Tensor& weight, const at::Tensor& indices, const at::Tensor& offsets, int64_t mode,
                         const OptionalTensor& per_sample_weights, bool include_last_offset);
inline int64_t bags_of(const at::Tensor& offsets, bool include_last_offset) { return offsets.size(0) - (include_last_offset ? 1 : 0); }
// The bag of each index; a forward pass that did not need them may have left them out.
at::Tensor bag_of_each(const at::Tensor& indices, const at::Tensor& offsets, const at::Tensor& offset2bag);
at::Tensor embedding_bag_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offset2bag, const at::Tensor& bag_size,
                                  const at::Tensor& maximum_indices, int64_t num_weights, bool scale_grad_by_freq, int64_t mode,
                                  const OptionalTensor& per_sample_weights, int64_t padding_idx);
at::Tensor embedding_bag_weights_backward(const at::Tensor& grad, const at::Tensor& weight, const at::Tensor& indices,
                                          const at::Tensor& offset2bag, int64_t padding_idx);

}  // namespace torch_npu::ops
