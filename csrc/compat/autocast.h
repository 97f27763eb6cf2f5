// torch's lists of what autocast does to which operator. Before 2.3 they were part of its own sources only.
#pragma once

#include <ATen/autocast_mode.h>

#include "compat/compat.h"

#if TORCH_NPU_TORCH_VERSION < 20300

// KERNEL_PRIVATEUSEONE took one overload name less.
#undef KERNEL_PRIVATEUSEONE
#define TORCH_COMPAT_PICK(_1, _2, _3, name, ...) name
#if TORCH_NPU_TORCH_VERSION < 20100
#include <ATen/privateuseone_autocast.h>
#define KERNEL_PRIVATEUSEONE(...) TORCH_COMPAT_PICK(__VA_ARGS__, TORCH_COMPAT_AUTOCAST3, TORCH_COMPAT_AUTOCAST2, )(__VA_ARGS__)
#else
#define KERNEL_PRIVATEUSEONE(...) TORCH_COMPAT_PICK(__VA_ARGS__, KERNEL2, KERNEL, )(c10::DeviceType::PrivateUse1, __VA_ARGS__)
#endif

#define AT_FORALL_LOWER_PRECISION_FP(_)                                                                                          \
  _(_convolution, deprecated) _(_convolution) _(conv1d) _(conv2d) _(conv3d) _(conv_tbc) _(conv_transpose1d)                      \
  _(conv_transpose2d, input) _(conv_transpose3d, input) _(convolution) _(prelu) _(addmm) _(addmv) _(addr) _(matmul) _(einsum)    \
  _(mm) _(mv) _(linear) _(addbmm) _(baddbmm) _(bmm) _(chain_matmul) _(linalg_multi_dot) _(_thnn_fused_lstm_cell)                 \
  _(_thnn_fused_gru_cell) _(lstm_cell) _(gru_cell) _(rnn_tanh_cell) _(rnn_relu_cell) _(scaled_dot_product_attention)

#define AT_FORALL_FP32(_)                                                                                                        \
  _(acos) _(asin) _(cosh) _(erfinv) _(exp) _(expm1) _(log) _(log10) _(log2) _(log1p) _(reciprocal) _(rsqrt) _(sinh) _(tan)       \
  _(pow, Tensor_Scalar) _(pow, Tensor_Tensor) _(pow, Scalar) _(softplus) _(layer_norm) _(native_layer_norm) _(group_norm)        \
  _(frobenius_norm, dim) _(nuclear_norm) _(nuclear_norm, dim) _(cosine_similarity) _(poisson_nll_loss) _(cosine_embedding_loss)  \
  _(nll_loss) _(nll_loss2d) _(hinge_embedding_loss) _(kl_div) _(l1_loss) _(smooth_l1_loss) _(huber_loss) _(mse_loss)             \
  _(margin_ranking_loss) _(multilabel_margin_loss) _(soft_margin_loss) _(triplet_margin_loss) _(multi_margin_loss)               \
  _(binary_cross_entropy_with_logits) _(dist) _(pdist) _(cdist) _(renorm) _(logsumexp)

#define AT_FORALL_FP32_SET_OPT_DTYPE(_)                                                                                          \
  _(prod) _(prod, dim_int) _(softmax, int) _(log_softmax, int) _(cumprod) _(cumsum) _(linalg_vector_norm) _(linalg_matrix_norm)  \
  _(linalg_matrix_norm, str_ord) _(sum) _(sum, dim_IntList)

#define AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE(_)                                                                              \
  _(ADD_NS(norm), "norm.Scalar", Tensor(const Tensor&, const Scalar&), Tensor(const Tensor&, const optional<Scalar>&, ScalarType), \
    fp32_append_dtype)                                                                                                           \
  _(ADD_NS(norm), "norm.ScalarOpt_dim", Tensor(const Tensor&, const optional<Scalar>&, IntArrayRef, bool),                       \
    Tensor(const Tensor&, const optional<Scalar>&, IntArrayRef, bool, ScalarType), fp32_append_dtype)

#define AT_FORALL_PROMOTE(_)                                                                                                     \
  _(addcdiv) _(addcmul) _(atan2) _(bilinear) _(cross) _(dot) _(vdot) _(grid_sampler) _(index_put) _(tensordot) _(scatter_add)

#endif
