#include "softcann/ops/kernels/network.h"

#include <ATen/ops/_embedding_bag.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

namespace softcann::ops {
namespace {

constexpr int64_t kCompressedMask = 2048;

// Any layout as [batch, heads, length, size], in float.
at::Tensor heads_first(const at::Tensor& t, string_view layout, int64_t head_size) {
  const at::Tensor wide = t.to(at::kFloat);
  if (layout == "BNSD") return wide;
  if (layout == "BSND") return wide.transpose(1, 2);
  const at::Tensor split = wide.view({t.size(0), t.size(1), t.size(2) / head_size, head_size});
  if (layout == "BSH") return split.transpose(1, 2);
  TORCH_CHECK_VALUE(layout == "SBH", "inputLayout is ", layout, "; BNSD, BSND, BSH and SBH exist");
  return split.permute({1, 2, 0, 3});
}

at::Tensor as_given(const at::Tensor& t, string_view layout, const at::Tensor& like) {
  at::Tensor out = t;
  if (layout == "BSND" || layout == "BSH") out = t.transpose(1, 2);
  if (layout == "SBH") out = t.permute({2, 0, 1, 3});
  return out.reshape(like.sizes()).to(like.scalar_type());
}

struct Scores {
  at::Tensor q, k, v, scores, masked, keep;  // k and v repeated for every head of q
  int64_t groups;
};

Scores scores_of(const FlashAttention& a) {
  TORCH_CHECK_VALUE(a.heads > 0, "headNum is ", a.heads);
  const bool merged = a.layout == "BSH" || a.layout == "SBH";
  const int64_t head_size = merged ? a.query.size(2) / a.heads : a.query.size(3);
  Scores s;
  s.q = heads_first(a.query, a.layout, head_size), s.k = heads_first(a.key, a.layout, head_size), s.v = heads_first(a.value, a.layout, head_size);
  TORCH_CHECK_VALUE(s.q.size(1) == a.heads, "headNum is ", a.heads, ", query has ", s.q.size(1), " heads");
  TORCH_CHECK_VALUE(s.q.size(1) % s.k.size(1) == 0, "query has ", s.q.size(1), " heads, which is no multiple of key's ", s.k.size(1));
  s.groups = s.q.size(1) / s.k.size(1);
  if (s.groups > 1) s.k = s.k.repeat_interleave(s.groups, 1), s.v = s.v.repeat_interleave(s.groups, 1);
  const int64_t targets = s.q.size(2), sources = s.k.size(2);
  at::Tensor scores = at::matmul(s.q, s.k.transpose(2, 3));
  if (a.pse.defined() && a.pse_type == 1) scores = scores.add(a.pse.to(at::kFloat)).mul_(a.scale);
  else scores = scores.mul_(a.scale);
  if (a.pse.defined() && a.pse_type == 0) scores = scores.add(a.pse.to(at::kFloat));
  TORCH_CHECK_VALUE(a.pse_type == 0 || a.pse_type == 1, "pseType is ", a.pse_type, "; softcann has 0 and 1");

  const at::Tensor row = at::arange(targets, at::kLong).unsqueeze(1), column = at::arange(sources, at::kLong).unsqueeze(0);
  const int64_t shift = sources - targets;  // sparse modes 3 and 4 count from the lower right corner
  const bool compressed = a.sparse_mode == 2 || a.sparse_mode == 3 || a.sparse_mode == 4;
  TORCH_CHECK_VALUE(compressed || a.sparse_mode == 0 || a.sparse_mode == 1, "sparseMode is ", a.sparse_mode, "; softcann has 0 to 4");
  if (compressed) {
    TORCH_CHECK_VALUE(a.mask.defined() && a.mask.size(-1) == kCompressedMask && a.mask.size(-2) == kCompressedMask,
                      "sparseMode ", a.sparse_mode, " needs an attenMask of 2048 x 2048");
  }
  if (a.sparse_mode == 2) s.masked = column.gt(row);
  else if (a.sparse_mode == 3) s.masked = column.gt(row.add(shift));
  else if (a.sparse_mode == 4) s.masked = column.gt(row.add(shift + a.next_tokens)).logical_or(column.lt(row.add(shift - a.pre_tokens)));
  else if (a.mask.defined()) {
    s.masked = a.mask.to(at::kBool);
    if (a.sparse_mode == 0) s.masked = s.masked.logical_or(column.gt(row.add(a.next_tokens))).logical_or(column.lt(row.sub(a.pre_tokens)));
  }
  s.scores = s.masked.defined() ? scores.masked_fill(s.masked, -std::numeric_limits<double>::infinity()) : scores;
  if (a.drop_bits.defined() && a.keep < 1) {
    const int64_t n = s.scores.numel();
    TORCH_CHECK_VALUE(a.drop_bits.numel() * 8 >= n, "dropMask has ", a.drop_bits.numel(), " bytes for ", n, " elements");
    const at::Tensor bits = a.drop_bits.contiguous();
    const auto* from = static_cast<const uint8_t*>(bits.const_data_ptr());
    s.keep = at::zeros(s.scores.sizes(), at::kFloat);
    auto* to = s.keep.mutable_data_ptr<float>();
    for (int64_t i = 0; i < n; ++i) to[i] = (from[i / 8] >> (i % 8) & 1) != 0 ? static_cast<float>(1 / a.keep) : 0;
  }
  return s;
}

// exp(scores - maximum) / sum; zero where masked, also in rows that are masked as a whole.
at::Tensor probabilities(const Scores& s, const at::Tensor& maximum, const at::Tensor& sum) {
  const at::Tensor p = s.scores.sub(maximum).exp_().div_(sum);
  return s.masked.defined() ? p.masked_fill_(s.masked, 0) : p;
}

at::Tensor reduced_to(const at::Tensor& t, const at::Tensor& like) { return t.sum_to_size(like.sizes()).to(like.scalar_type()); }

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_attention(const FlashAttention& a) {
  const Scores s = scores_of(a);
  const at::Tensor maximum = s.scores.amax(-1, true);
  const at::Tensor e = s.scores.sub(maximum).exp_();
  const at::Tensor sum = (s.masked.defined() ? e.masked_fill_(s.masked, 0) : e).sum(-1, true);
  at::Tensor p = probabilities(s, maximum, sum);
  if (s.keep.defined()) p = p.mul(s.keep);
  return {maximum.expand({-1, -1, -1, 8}), sum.expand({-1, -1, -1, 8}), as_given(at::matmul(p, s.v), a.layout, a.query)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_attention_backward(const FlashAttention& a, const at::Tensor& grad,
                                                                                    const at::Tensor& maximum, const at::Tensor& sum,
                                                                                    const at::Tensor& out) {
  const Scores s = scores_of(a);
  const int64_t head_size = s.q.size(3);
  const at::Tensor g = heads_first(grad, a.layout, head_size), o = heads_first(out, a.layout, head_size);
  const at::Tensor p = probabilities(s, maximum.narrow(3, 0, 1), sum.narrow(3, 0, 1));
  const at::Tensor dropped = s.keep.defined() ? p.mul(s.keep) : p;
  at::Tensor slope = at::matmul(g, s.v.transpose(2, 3));
  if (s.keep.defined()) slope = slope.mul(s.keep);
  const at::Tensor ds = p.mul(slope.sub(g.mul(o).sum(-1, true)));
  const auto grouped = [&](const at::Tensor& t) {
    return s.groups == 1 ? t : t.view({t.size(0), t.size(1) / s.groups, s.groups, t.size(2), t.size(3)}).sum(2);
  };
  const at::Tensor dq = at::matmul(ds, s.k).mul(a.scale), dk = grouped(at::matmul(ds.transpose(2, 3), s.q).mul(a.scale));
  const at::Tensor dv = grouped(at::matmul(dropped.transpose(2, 3), g));
  at::Tensor dpse;
  if (a.pse.defined()) dpse = reduced_to(a.pse_type == 1 ? ds.mul(a.scale) : ds, a.pse);
  return {as_given(dq, a.layout, a.query), as_given(dk, a.layout, a.key), as_given(dv, a.layout, a.value), dpse};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> embedding_bag(const at::Tensor& weight, const at::Tensor& indices,
                                                                         const at::Tensor& offsets, bool scale_grad_by_freq, int64_t mode,
                                                                         bool sparse, const at::Tensor& per_sample_weights,
                                                                         bool include_last_offset, int64_t padding_idx) {
  const auto weights = per_sample_weights.defined() ? optional<at::Tensor>(per_sample_weights) : nullopt;
  auto [out, bags, sizes, maxima] = at::_embedding_bag(weight.contiguous(), indices.contiguous(), offsets.contiguous(), scale_grad_by_freq, mode, sparse, weights,
                                                       include_last_offset, padding_idx);
  const int64_t n = offsets.size(0) - (include_last_offset ? 1 : 0);
  const at::Tensor begins = offsets.narrow(0, 0, n).contiguous();
  bags = at::searchsorted(begins, at::arange(indices.size(0), begins.options()), /*out_int32=*/false, /*right=*/true).sub(1).to(indices.scalar_type());
  sizes = at::zeros({n}, indices.options());
  sizes.index_add_(0, bags, indices.ne(padding_idx).to(indices.scalar_type()));  // no index is -1
  if (mode != 2 && maxima.numel() != n) maxima = at::zeros({n}, indices.options());
  return {out, bags, sizes, maxima};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cx,
                                                         const at::Tensor& input_bias, const at::Tensor& hidden_bias) {
  at::Tensor gates = input_gates.add(hidden_gates);
  if (input_bias.defined()) gates = gates.add(input_bias).add(hidden_bias);
  const auto parts = gates.chunk(4, 1);
  const at::Tensor in = parts[0].sigmoid(), forget = parts[1].sigmoid(), cell = parts[2].tanh(), out = parts[3].sigmoid();
  const at::Tensor cy = forget.mul(cx).add(in.mul(cell));
  return {out.mul(cy.tanh()), cy, at::cat({in, forget, cell, out}, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const at::Tensor& grad_hy, const at::Tensor& grad_c, const at::Tensor& cx,
                                                                  const at::Tensor& cy, const at::Tensor& storage) {
  const auto sigmoid_slope = [](const at::Tensor& y) { return y.mul(at::rsub(y, 1)); };
  const auto tanh_slope = [](const at::Tensor& y) { return at::rsub(y.mul(y), 1); };
  TORCH_CHECK_VALUE(cy.dim() == 2 && storage.dim() == 2 && storage.size(0) == cy.size(0) && storage.size(1) == 4 * cy.size(1),
                    "storage has shape ", storage.sizes(), ", cy has ", cy.sizes());
  const auto parts = storage.chunk(4, 1);
  const at::Tensor &in = parts[0], &forget = parts[1], &cell = parts[2], &out = parts[3];
  const at::Tensor tanh_cy = cy.tanh();
  const at::Tensor gh = grad_hy.defined() ? grad_hy : at::zeros_like(cy);
  const at::Tensor gc = (grad_c.defined() ? grad_c : at::zeros_like(cy)).add(gh.mul(out).mul(tanh_slope(tanh_cy)));
  const at::Tensor gates = at::cat({gc.mul(cell).mul(sigmoid_slope(in)), gc.mul(cx).mul(sigmoid_slope(forget)),
                                    gc.mul(in).mul(tanh_slope(cell)), gh.mul(tanh_cy).mul(sigmoid_slope(out))}, 1);
  return {gates, gc.mul(forget), gates.sum(0)};
}

}  // namespace softcann::ops
