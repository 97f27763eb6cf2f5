// The inference fast paths of nn.MultiheadAttention and nn.TransformerEncoderLayer, composed of native operators. Hand-written:
// they are several steps with optional masks; what they compute is documented at the torch functions.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_nested_from_padded_native.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/to_padded_tensor_native.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "compat/nested.h"
#include "ops/common.h"
#include "ops/expressions.h"
#include "ops/nn_expressions.h"

namespace torch_npu::ops {
namespace {

// ---- fast paths -----------------------------------------------------------------------------------------------------

// mask_type of the two operators.
enum MaskType : int64_t { kSourceMask = 0, kKeyPaddingMask = 1, kFullMask = 2 };

// True in `mask` means: do not attend. scores is [batch, heads, targets, sources].
at::Tensor masked_softmax(const at::Tensor& scores, const optional<at::Tensor>& mask, optional<int64_t> mask_type) {
  if (!mask.has_value() || !mask->defined()) return scores.softmax(-1);
  at::Tensor m = *mask;
  if (mask_type == kKeyPaddingMask) m = m.view({m.size(0), 1, 1, m.size(1)});
  else if (mask_type == kSourceMask && m.dim() == 2) m = m.view({1, 1, m.size(0), m.size(1)});
  if (m.scalar_type() != at::kBool) return scores.add(m).softmax(-1);
  const at::Tensor weights = scores.masked_fill(m, -std::numeric_limits<double>::infinity()).softmax(-1);
  // A row that may attend to nothing gives zeros, not NaN.
  return weights.masked_fill(m.all(-1, /*keepdim=*/true), 0);
}

std::tuple<at::Tensor, at::Tensor> native_multi_head_attention(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t embed_dim, int64_t num_head,
    const at::Tensor& qkv_weight, const at::Tensor& qkv_bias, const at::Tensor& proj_weight, const at::Tensor& proj_bias,
    const optional<at::Tensor>& mask, bool need_weights, bool average_attn_weights, optional<int64_t> mask_type) {
  const DeviceScope scope(query, key, value, qkv_weight);
  TORCH_CHECK(query.dim() == 3, "expected 3-D `query`, got ", query.dim(), "-D tensor");
  TORCH_CHECK(embed_dim % num_head == 0, "`embed_dim` must be divided by `num_head` without remainder");
  TORCH_CHECK(qkv_weight.dim() == 2 && qkv_weight.size(0) == 3 * embed_dim, "expected `qkv_weight` of shape [", 3 * embed_dim,
              ", ", query.size(2), "], got ", qkv_weight.sizes());
  const int64_t width = embed_dim / num_head;
  const auto weights = qkv_weight.chunk(3, 0);
  const auto biases = qkv_bias.chunk(3, 0);
  const auto heads = [&](const at::Tensor& x, size_t i) {
    const at::Tensor y = at::linear(x, weights[i], biases[i]);
    return y.view({y.size(0), y.size(1), num_head, width}).transpose(1, 2);
  };
  const at::Tensor q = heads(query, 0).mul(1.0 / std::sqrt(static_cast<double>(width)));
  const at::Tensor attention = masked_softmax(at::matmul(q, heads(key, 1).transpose(2, 3)), mask, mask_type);
  const at::Tensor context = at::matmul(attention, heads(value, 2)).transpose(1, 2).reshape({query.size(0), query.size(1), embed_dim});
  const at::Tensor out = at::linear(context, proj_weight, proj_bias);
  if (!need_weights) return {out, at::Tensor()};
  return {out, average_attn_weights ? attention.mean(1) : attention};
}

at::Tensor transformer_encoder_layer_fwd(
    const at::Tensor& src, int64_t embed_dim, int64_t num_heads, const at::Tensor& qkv_weight, const at::Tensor& qkv_bias,
    const at::Tensor& proj_weight, const at::Tensor& proj_bias, bool use_gelu, bool norm_first, double eps,
    const at::Tensor& norm_weight_1, const at::Tensor& norm_bias_1, const at::Tensor& norm_weight_2, const at::Tensor& norm_bias_2,
    const at::Tensor& ffn_weight_1, const at::Tensor& ffn_bias_1, const at::Tensor& ffn_weight_2, const at::Tensor& ffn_bias_2,
    const optional<at::Tensor>& mask, optional<int64_t> mask_type) {
  const DeviceScope scope(src, qkv_weight);
  const auto norm_1 = [&](const at::Tensor& x) { return at::layer_norm(x, {embed_dim}, norm_weight_1, norm_bias_1, eps); };
  const auto norm_2 = [&](const at::Tensor& x) { return at::layer_norm(x, {embed_dim}, norm_weight_2, norm_bias_2, eps); };
  const auto attend = [&](const at::Tensor& x) {
    return std::get<0>(native_multi_head_attention(x, x, x, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias,
                                                   mask, false, true, mask_type));
  };
  const auto feed_forward = [&](const at::Tensor& x) {
    const at::Tensor hidden = at::linear(x, ffn_weight_1, ffn_bias_1);
    return at::linear(use_gelu ? at::gelu(hidden) : at::relu(hidden), ffn_weight_2, ffn_bias_2);
  };
  if (norm_first) {
    const at::Tensor x = src.add(attend(norm_1(src)));
    return x.add(feed_forward(norm_2(x)));
  }
  const at::Tensor x = norm_1(src.add(attend(src)));
  return norm_2(x.add(feed_forward(x)));
}

at::Tensor nested_from_padded(const at::Tensor& padded, const at::Tensor& sizes, bool fuse_transform_0213) {
  const at::Tensor nested = at::native::nested_from_padded_generic(padded, sizes, fuse_transform_0213);
  // A nested tensor's buffer is all of its storage, and that of a selection on npu is as large as what it was selected from.
  return torch_compat::nested_view(nested.values().narrow(0, 0, nested.numel()).clone(), sizes);
}

// nn.TransformerEncoder packs a padded batch into a nested tensor, so that its result has zeros where the padding was.
at::Tensor nested_transformer_encoder_layer_fwd(
    const at::Tensor& src, int64_t embed_dim, int64_t num_heads, const at::Tensor& qkv_weight, const at::Tensor& qkv_bias,
    const at::Tensor& proj_weight, const at::Tensor& proj_bias, bool use_gelu, bool norm_first, double eps,
    const at::Tensor& norm_weight_1, const at::Tensor& norm_bias_1, const at::Tensor& norm_weight_2, const at::Tensor& norm_bias_2,
    const at::Tensor& ffn_weight_1, const at::Tensor& ffn_bias_1, const at::Tensor& ffn_weight_2, const at::Tensor& ffn_bias_2,
    const optional<at::Tensor>& mask, optional<int64_t> /*mask_type*/) {
  TORCH_CHECK(!mask.has_value() || !mask->defined(), "a nested tensor of sequences takes no mask");
  const at::Tensor padded = at::native::NestedTensor_to_padded_tensor_generic(src, 0.0);
  const at::Tensor sizes = src._nested_tensor_size();  // on the CPU: length and width of each sequence
  const at::Tensor lengths = sizes.narrow(1, 0, 1).to(padded.device());
  const at::Tensor padding = at::arange(padded.size(1), lengths.options()).unsqueeze(0).ge(lengths);
  const at::Tensor out = transformer_encoder_layer_fwd(
      padded, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, use_gelu, norm_first, eps, norm_weight_1,
      norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1, ffn_bias_1, ffn_weight_2, ffn_bias_2, padding, kKeyPaddingMask);
  return nested_from_padded(out, sizes, false);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_nested_from_padded", TORCH_FN(nested_from_padded));
  m.impl("_native_multi_head_attention", TORCH_FN(native_multi_head_attention));
  m.impl("_transformer_encoder_layer_fwd", TORCH_FN(transformer_encoder_layer_fwd));
}

TORCH_LIBRARY_IMPL(aten, NestedTensorPrivateUse1, m) {
  m.impl("to_padded_tensor", TORCH_FN(at::native::NestedTensor_to_padded_tensor_generic));
  m.impl("_transformer_encoder_layer_fwd", TORCH_FN(nested_transformer_encoder_layer_fwd));
}

}  // namespace torch_npu::ops
