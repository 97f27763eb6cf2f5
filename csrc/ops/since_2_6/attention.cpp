// scaled_dot_product_attention on CANN's flash attention. Hand-written: the choice of the kernel is no operator call. torch before
// 2.6 has no place for another vendor's kernel and composes it of matrix products.
#include <ATen/Context.h>
#include <ATen/SDPBackend.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/flash_attention.h"
#include "ops/nn_expressions.h"

namespace torch_npu::ops {
namespace {

using launch::Launch;

constexpr char kName[] = "aten::_scaled_dot_product_fused_attention_overrideable";

// Why the fused kernel cannot take the call, or null.
const char* unsuitable(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const OptionalTensor& mask, double dropout_p,
                       bool is_causal, bool enable_gqa) {
  if (!launch::found(aclnn::aclnnFlashAttentionScoreV2) || !launch::found(aclnn::aclnnFlashAttentionScoreGradV2)) {
    return "this CANN has no such attention function (python -m torch_npu.doctor says which release brings it)";
  }
  if (dropout_p > 0 && !launch::found(aclnn::aclnnDropoutGenMaskV2)) return "this CANN cannot draw the mask that dropout needs";
  if (q.is_nested() || k.is_nested() || v.is_nested()) return "nested tensors";
  if (q.dim() != 4 || k.dim() != 4 || v.dim() != 4) return "query, key and value have to be 4-D";
  const at::ScalarType dtype = q.scalar_type();
  if (k.scalar_type() != dtype || v.scalar_type() != dtype) return "query, key and value have different data types";
  if (dtype != at::kFloat && dtype != at::kHalf && dtype != at::kBFloat16) return "the data type has to be float32, float16 or bfloat16";
  if (q.numel() == 0 || k.numel() == 0 || v.numel() == 0) return "empty tensors";
  if (k.size(0) != q.size(0) || v.size(0) != q.size(0)) return "batch sizes differ";
  if (k.size(1) != v.size(1) || k.size(2) != v.size(2)) return "key and value have different sizes";
  if (q.size(1) != k.size(1) && (!enable_gqa || q.size(1) % k.size(1) != 0)) return "query and key have different numbers of heads";
  if (q.size(1) > kMostHeads) return "more than 256 heads";
  if (k.size(3) != q.size(3) || v.size(3) != q.size(3)) return "head sizes differ";
  if (q.size(3) > kLargestHead) return "the head size is above 768";
  if (dropout_p < 0 || dropout_p >= 1) return "dropout of everything";
  if (!given(mask)) return nullptr;
  if (is_causal) return "an explicit mask together with is_causal";
  if (mask->requires_grad() && at::GradMode::is_enabled()) return "the mask requires a gradient";
  if (mask->dim() < 2 || mask->dim() > 4 || !is_npu(*mask)) return "the mask has to be a tensor of the device with 2 to 4 dimensions";
  return nullptr;
}

int64_t fused_sdp_choice(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const OptionalTensor& attn_mask,
                         double dropout_p, bool is_causal, optional<double> /*scale*/, bool enable_gqa) {
  const at::Context& context = at::globalContext();
  const bool wanted = context.userEnabledOverrideableSDP() || context.userEnabledFlashSDP();
  const char* reason = unsuitable(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa);
  if (wanted && reason == nullptr) return static_cast<int64_t>(at::SDPBackend::overrideable);
  TORCH_CHECK(context.userEnabledMathSDP(), "No available kernel for scaled_dot_product_attention on npu: ",
              wanted ? reason : "only FLASH_ATTENTION (or OVERRIDEABLE) and MATH exist here",
              ". Allow SDPBackend.MATH in torch.nn.attention.sdpa_kernel, which takes every input.");
  return static_cast<int64_t>(at::SDPBackend::math);
}

// Masks as CANN takes them: `masked` says where not to attend, `bias` is added to the scaled scores.
struct AttentionMask {
  at::Tensor bias, masked;
  int64_t sparse_mode = kGivenMask, next_tokens = kUnlimited;
  int64_t inner_precise = 0;  // 2: rows that may attend to nothing give zeros
};

AttentionMask attention_mask(const at::Tensor& q, const at::Tensor& k, const OptionalTensor& attn_bias, bool is_causal) {
  AttentionMask m;
  const int64_t targets = q.size(2), sources = k.size(2);
  if (is_causal) {
    const bool compressed = std::max(targets, sources) > kCompressedMask;
    const int64_t rows = compressed ? kCompressedMask : targets, columns = compressed ? kCompressedMask : sources;
    m.masked = at::ones({rows, columns}, q.options().dtype(at::kBool)).triu(1);
    if (compressed) m.sparse_mode = kCausalFromTopLeft;
    else m.next_tokens = 0;
    return m;
  }
  if (!given(attn_bias)) return m;
  at::Tensor bias = *attn_bias;
  while (bias.dim() < 4) bias = bias.unsqueeze(0);
  if (bias.scalar_type() == at::kBool) {  // true: attend
    m.masked = bias.logical_not();
  } else {
    m.masked = bias.eq(-std::numeric_limits<double>::infinity());
    m.bias = cast_to(bias.masked_fill(m.masked, 0), q.scalar_type()).expand({bias.size(0), q.size(1), targets, sources});
  }
  const bool per_head = bias.size(1) != 1;  // CANN broadcasts over heads, or over batch and heads
  m.masked = m.masked.expand({per_head ? q.size(0) : bias.size(0), bias.size(1), targets, sources});
  m.inner_precise = 2;
  return m;
}

int64_t score_count(const at::Tensor& q, const at::Tensor& k) { return q.size(0) * q.size(1) * q.size(2) * k.size(2); }

double softmax_scale(const at::Tensor& q, optional<double> scale) {
  return scale.has_value() ? *scale : 1.0 / std::sqrt(static_cast<double>(q.size(3)));
}

using FusedAttention = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt, at::Tensor, at::Tensor, at::Tensor>;

FusedAttention fused_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const OptionalTensor& attn_bias,
                               double dropout_p, bool is_causal, bool return_debug_mask, optional<double> scale) {
  const DeviceScope scope(query, key, value, attn_bias);
  TORCH_CHECK_NOT_IMPLEMENTED(!return_debug_mask, "the attention kernel of npu gives no debug mask");
  const char* reason = unsuitable(query, key, value, attn_bias, dropout_p, is_causal, /*enable_gqa=*/true);
  TORCH_CHECK_NOT_IMPLEMENTED(reason == nullptr, "the attention kernel of npu does not take this call: ", reason);
  const AttentionMask m = attention_mask(query, key, attn_bias, is_causal);
  Philox random{0, 0};
  if (dropout_p > 0) {
    random = philox(nullopt, query.device(), score_count(query, key));
  }
  const at::Tensor bits = dropout_bits(query, score_count(query, key), dropout_p, random, kName);
  at::Tensor out = at::empty(query.sizes(), query.options());
  const auto statistics = query.options().dtype(at::kFloat);
  const at::Tensor maximum = at::empty({query.size(0), query.size(1), query.size(2), 8}, statistics), sum = at::empty_like(maximum);
  Launch l(aclnn::aclnnFlashAttentionScoreV2, kName);
  l.tensor(query), l.tensor(key), l.tensor(value), l.tensor(m.bias), l.tensor(bits), l.tensor(at::Tensor()), l.tensor(m.masked);
  l.ints(at::OptionalIntArrayRef()), l.ints(at::OptionalIntArrayRef()), l.ints(at::OptionalIntArrayRef());
  l.real(softmax_scale(query, scale)), l.real(1 - dropout_p), l.integer(kUnlimited), l.integer(m.next_tokens), l.integer(query.size(1));
  l.string("BNSD"), l.integer(m.inner_precise), l.integer(m.sparse_mode), l.integer(m.bias.defined() ? 0 : 1);
  l.tensor(maximum), l.tensor(sum), l.tensor(at::Tensor()), l.tensor(out);
  l.submit();
  // One number per row is enough for the backward pass: exp(s - max) / sum = exp(s - logsumexp).
  const at::Tensor logsumexp = sum.select(3, 0).log().add(maximum.select(3, 0));
  const auto host = at::TensorOptions().dtype(at::kLong);
  return {out, logsumexp, at::Tensor(), at::Tensor(), query.size(2), key.size(2), at::scalar_tensor(random.seed, host),
          at::scalar_tensor(random.offset, host), at::Tensor()};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> fused_attention_backward(
    const at::Tensor& grad_out, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& attn_bias,
    std::array<bool, 4> mask, const at::Tensor& out, const at::Tensor& logsumexp, const at::Tensor& /*cum_seq_q*/,
    const at::Tensor& /*cum_seq_k*/, c10::SymInt /*max_q*/, c10::SymInt /*max_k*/, double dropout_p, bool is_causal,
    const at::Tensor& philox_seed, const at::Tensor& philox_offset, optional<double> scale) {
  if (!grad_out.defined()) return {};
  const DeviceScope scope(grad_out, query, key, value, attn_bias);
  TORCH_CHECK_NOT_IMPLEMENTED(!mask[3], "the attention kernel of npu gives no gradient of the mask");
  const AttentionMask m = attention_mask(query, key, attn_bias, is_causal);
  at::Tensor bits;
  if (dropout_p > 0) {
    bits = dropout_bits(query, score_count(query, key), dropout_p, {philox_seed.item<int64_t>(), philox_offset.item<int64_t>()}, kName);
  }
  const at::Tensor maximum = logsumexp.unsqueeze(3).expand({-1, -1, -1, 8}).contiguous(), sum = at::ones_like(maximum);
  const at::Tensor grad_query = at::empty(query.sizes(), query.options()), grad_key = at::empty(key.sizes(), key.options());
  const at::Tensor grad_value = at::empty(value.sizes(), value.options());
  Launch l(aclnn::aclnnFlashAttentionScoreGradV2, "aten::_scaled_dot_product_fused_attention_overrideable_backward");
  l.tensor(query), l.tensor(key), l.tensor(value), l.tensor(grad_out), l.tensor(m.bias), l.tensor(bits), l.tensor(at::Tensor());
  l.tensor(m.masked), l.tensor(maximum), l.tensor(sum), l.tensor(at::Tensor()), l.tensor(out);
  l.ints(at::OptionalIntArrayRef()), l.ints(at::OptionalIntArrayRef()), l.ints(at::OptionalIntArrayRef());
  l.real(softmax_scale(query, scale)), l.real(1 - dropout_p), l.integer(kUnlimited), l.integer(m.next_tokens), l.integer(query.size(1));
  l.string("BNSD"), l.integer(m.inner_precise), l.integer(m.sparse_mode), l.integer(m.bias.defined() ? 0 : 1);
  l.tensor(grad_query), l.tensor(grad_key), l.tensor(grad_value), l.tensor(at::Tensor());
  l.submit();
  return {grad_query, grad_key, grad_value, at::Tensor()};
}

}  // namespace

int64_t choose_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const OptionalTensor& attn_mask,
                         double dropout_p, bool is_causal, optional<double> scale, bool enable_gqa) {
  return fused_sdp_choice(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_fused_sdp_choice", TORCH_FN(fused_sdp_choice));
  m.impl("_scaled_dot_product_fused_attention_overrideable", TORCH_FN(fused_attention));
  m.impl("_scaled_dot_product_fused_attention_overrideable_backward", TORCH_FN(fused_attention_backward));
}

}  // namespace torch_npu::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &torch_npu::ops::choose_attention)
}  // namespace at::native
