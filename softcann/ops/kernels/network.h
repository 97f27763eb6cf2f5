// Attention, embedding bags and recurrent cells: CANN's functions that ATen's CPU kernels do not have in this form.
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>
#include <tuple>

namespace softcann::ops {

// One call of aclnnFlashAttentionScore or its gradient. Tensors may be undefined where CANN's parameter is optional.
struct FlashAttention {
  at::Tensor query, key, value, pse, drop_bits, mask;
  double scale, keep;
  int64_t pre_tokens, next_tokens, heads;
  string_view layout;
  int64_t sparse_mode, pse_type;  // pse_type 0: scaled, then shifted; 1: shifted, then scaled
  int64_t first_bit = 0;          // where this call's scores begin in drop_bits
};
// Maximum and sum of each row of scores, eight times over, and the result.
std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_attention(const FlashAttention& a);
// Gradients of query, key, value and pse.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_attention_backward(const FlashAttention& a, const at::Tensor& grad,
                                                                                    const at::Tensor& maximum, const at::Tensor& sum,
                                                                                    const at::Tensor& out);

// The same for sequences behind each other, layout TND, where the ends of each are given. Rows of no sequence are zeros.
std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_attention_packed(const FlashAttention& a, at::OptionalIntArrayRef query_ends, at::OptionalIntArrayRef key_ends);
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_attention_packed_backward(
    const FlashAttention& a, at::OptionalIntArrayRef query_ends, at::OptionalIntArrayRef key_ends, const at::Tensor& grad, const at::Tensor& maximum,
    const at::Tensor& sum, const at::Tensor& out);

// As at::_embedding_bag, with the bag of every index and the bags' sizes also where ATen's fast path leaves it out.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> embedding_bag(const at::Tensor& weight, const at::Tensor& indices,
                                                                         const at::Tensor& offsets, bool scale_grad_by_freq, int64_t mode,
                                                                         bool sparse, const at::Tensor& per_sample_weights,
                                                                         bool include_last_offset, int64_t padding_idx);

// Gates side by side: input, forget, cell, output. The storage holds them activated.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cx,
                                                         const at::Tensor& input_bias, const at::Tensor& hidden_bias);
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const at::Tensor& grad_hy, const at::Tensor& grad_c, const at::Tensor& cx,
                                                                  const at::Tensor& cy, const at::Tensor& storage);

}  // namespace softcann::ops
