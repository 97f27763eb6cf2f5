#include "softcann/ops/kernels/network.h"

#include <ATen/ops/_embedding_bag.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

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

// What both directions share. Scores are made and used up part by part, so that they stay in a core's cache and take no memory.
constexpr int64_t kScoresOfPart = 1 << 16, kFewestRows = 32;

struct Attention {
  const FlashAttention& a;
  at::Tensor q, k, v, pse, hidden;  // pse and hidden: expanded to the scores' shape, undefined without
  int64_t batch, heads, groups, targets, sources;
  bool dropping, shifted_first;

  explicit Attention(const FlashAttention& a) : a(a) {
    TORCH_CHECK_VALUE(a.heads > 0, "headNum is ", a.heads);
    q = first(a.query), k = first(a.key), v = first(a.value);
    batch = q.size(0), heads = q.size(1), targets = q.size(2), sources = k.size(2);
    TORCH_CHECK_VALUE(heads == a.heads, "headNum is ", a.heads, ", query has ", heads, " heads");
    TORCH_CHECK_VALUE(heads % k.size(1) == 0, "query has ", heads, " heads, which is no multiple of key's ", k.size(1));
    TORCH_CHECK_VALUE(a.pse_type == 0 || a.pse_type == 1, "pseType is ", a.pse_type, "; softcann has 0 and 1");
    groups = heads / k.size(1);
    const std::array<int64_t, 4> shape{batch, heads, targets, sources};
    if (a.pse.defined()) pse = a.pse.to(at::kFloat).expand(shape);
    shifted_first = pse.defined() && a.pse_type == 1;
    const at::Tensor masked = where_masked();
    if (masked.defined()) hidden = masked.expand(shape);
    dropping = a.drop_bits.defined() && a.keep < 1;
    const int64_t n = batch * heads * targets * sources;
    if (dropping) {
      TORCH_CHECK_VALUE(a.drop_bits.numel() * 8 >= a.first_bit + n, "dropMask has ", a.drop_bits.numel(), " bytes for ", a.first_bit + n, " elements");
    }
  }

  at::Tensor first(const at::Tensor& t) const {
    const bool merged = a.layout == "BSH" || a.layout == "SBH";
    return heads_first(t, a.layout, merged ? a.query.size(2) / a.heads : a.query.size(3));
  }

  // f(part) for all parts: whole batch items, else heads of one, else rows of one head.
  template <class F>
  void for_each_part(F f) const;

 private:
  at::Tensor where_masked() const {
    const at::Tensor row = at::arange(targets, at::kLong).unsqueeze(1), column = at::arange(sources, at::kLong).unsqueeze(0);
    const int64_t shift = sources - targets;  // sparse modes 3 and 4 count from the lower right corner
    const bool compressed = a.sparse_mode == 2 || a.sparse_mode == 3 || a.sparse_mode == 4;
    TORCH_CHECK_VALUE(compressed || a.sparse_mode == 0 || a.sparse_mode == 1, "sparseMode is ", a.sparse_mode, "; softcann has 0 to 4");
    if (compressed) {
      TORCH_CHECK_VALUE(a.mask.defined() && a.mask.size(-1) == kCompressedMask && a.mask.size(-2) == kCompressedMask,
                        "sparseMode ", a.sparse_mode, " needs an attenMask of 2048 x 2048");
    }
    if (a.sparse_mode == 2) return column.gt(row);
    if (a.sparse_mode == 3) return column.gt(row.add(shift));
    if (a.sparse_mode == 4) return column.gt(row.add(shift + a.next_tokens)).logical_or(column.lt(row.add(shift - a.pre_tokens)));
    if (!a.mask.defined() || a.sparse_mode == 1) return a.mask.defined() ? a.mask.to(at::kBool) : at::Tensor();
    return a.mask.to(at::kBool).logical_or(column.gt(row.add(a.next_tokens))).logical_or(column.lt(row.sub(a.pre_tokens)));
  }
};

struct Part {
  const Attention& all;
  int64_t item, items, head, heads, row, rows;

  // Of something of the queries' shape, or the scores'.
  at::Tensor of(const at::Tensor& t) const { return t.narrow(0, item, items).narrow(1, head, heads).narrow(2, row, rows); }
  // Of keys or values, repeated for every head of the queries.
  at::Tensor of_sources(const at::Tensor& t) const {
    const at::Tensor some = t.narrow(0, item, items);
    if (heads == all.heads && all.groups > 1) return some.repeat_interleave(all.groups, 1);
    return some.narrow(1, head / all.groups, heads);
  }
  // Adds what of_sources() gave to the gradient of all; the first that comes to a place finds it without a value.
  void add_sources(const at::Tensor& to, const at::Tensor& part) const {
    const at::Tensor some = to.narrow(0, item, items);
    if (heads == all.heads && all.groups > 1) {
      some.copy_(part.view({items, heads / all.groups, all.groups, part.size(2), part.size(3)}).sum(2));
      return;
    }
    const at::Tensor place = some.narrow(1, head / all.groups, heads);
    if (row == 0 && head % all.groups == 0) place.copy_(part);
    else place.add_(part);
  }

  // Scaled and shifted scores, -inf where masked.
  at::Tensor scores() const {
    const at::Tensor q = of(all.q);
    at::Tensor scores = at::matmul(all.shifted_first ? q : q.mul(all.a.scale), of_sources(all.k).transpose(2, 3));
    if (all.pse.defined()) scores.add_(of(all.pse));
    if (all.shifted_first) scores.mul_(all.a.scale);
    if (all.hidden.defined()) scores.masked_fill_(of(all.hidden), -std::numeric_limits<double>::infinity());
    return scores;
  }

  at::Tensor unmasked(at::Tensor weights) const { return all.hidden.defined() ? weights.masked_fill_(of(all.hidden), 0) : weights; }

  // What dropout multiplies weights with.
  at::Tensor kept() const {
    const at::Tensor bits = all.a.drop_bits.contiguous();
    const auto* from = static_cast<const uint8_t*>(bits.data_ptr());
    const at::Tensor kept = at::empty({items, heads, rows, all.sources}, at::kFloat);
    auto* to = kept.data_ptr<float>();
    const auto factor = static_cast<float>(1 / all.a.keep);
    // Contiguous in all scores, since a part leaves out of one dimension only and is single in those before.
    const int64_t begin = all.a.first_bit + ((item * all.heads + head) * all.targets + row) * all.sources;
    for (int64_t i = 0, bit = begin; i < kept.numel(); ++i, ++bit) to[i] = (from[bit / 8] >> (bit % 8) & 1) != 0 ? factor : 0;
    return kept;
  }
};

template <class F>
void Attention::for_each_part(F f) const {
  const int64_t of_head = std::max<int64_t>(1, targets * sources), of_item = of_head * heads;
  Part part{*this, 0, 1, 0, heads, 0, targets};
  if (of_item <= kScoresOfPart) part.items = std::min(batch, kScoresOfPart / of_item);
  else part.heads = groups > 1 ? 1 : std::clamp<int64_t>(kScoresOfPart / of_head, 1, heads);
  if (of_head > kScoresOfPart) part.rows = std::clamp<int64_t>(kScoresOfPart / sources, std::min(kFewestRows, targets), targets);
  const Part most = part;
  for (part.item = 0; part.item < batch; part.item += most.items) {
    part.items = std::min(most.items, batch - part.item);
    for (part.head = 0; part.head < heads; part.head += most.heads) {
      part.heads = std::min(most.heads, heads - part.head);
      for (part.row = 0; part.row < targets; part.row += most.rows) {
        part.rows = std::min(most.rows, targets - part.row);
        f(std::as_const(part));
      }
    }
  }
}

// f(call of one sequence, its first row of queries and of keys) for all that have both.
template <class F>
void for_each_sequence(const FlashAttention& a, at::OptionalIntArrayRef optional_query_ends, at::OptionalIntArrayRef optional_key_ends, F f) {
  TORCH_CHECK_VALUE(optional_query_ends.has_value() && optional_key_ends.has_value(), "packed sequences need actualSeqQLen and actualSeqKvLen");
  const at::IntArrayRef query_ends = *optional_query_ends, key_ends = *optional_key_ends;
  TORCH_CHECK_VALUE(a.layout == "TND", "inputLayout is ", a.layout, "; packed sequences have TND");
  TORCH_CHECK_VALUE(query_ends.size() == key_ends.size(), "actualSeqQLen has ", query_ends.size(), " elements, actualSeqKvLen has ", key_ends.size());
  TORCH_CHECK_VALUE(!a.pse.defined(), "softcann shifts no scores of packed sequences");
  const bool own_mask = a.mask.defined() && a.sparse_mode <= 1;
  TORCH_CHECK_VALUE(!own_mask || a.mask.dim() == 2, "attenMask has shape ", a.mask.sizes(), "; softcann takes [targets, sources] with packed sequences");
  int64_t target = 0, source = 0, bit = 0;
  for (size_t i = 0; i < query_ends.size(); ++i) {
    const int64_t targets = query_ends[i] - target, sources = key_ends[i] - source;
    TORCH_CHECK_VALUE(targets >= 0 && sources >= 0 && query_ends[i] <= a.query.size(0) && key_ends[i] <= a.key.size(0),
                      "the ends are ", query_ends, " and ", key_ends, ", query has shape ", a.query.sizes(), ", key has ", a.key.sizes());
    if (targets > 0 && sources > 0) {
      FlashAttention one = a;
      one.query = a.query.narrow(0, target, targets).unsqueeze(0);
      one.key = a.key.narrow(0, source, sources).unsqueeze(0), one.value = a.value.narrow(0, source, sources).unsqueeze(0);
      if (own_mask) one.mask = a.mask.narrow(0, 0, targets).narrow(1, 0, sources);
      one.layout = "BSND", one.first_bit = bit;
      f(std::as_const(one), target, source);
    }
    target += targets, source += sources, bit += a.heads * targets * sources;
  }
}

at::Tensor reduced_to(const at::Tensor& t, const at::Tensor& like) { return t.sum_to_size(like.sizes()).to(like.scalar_type()); }

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_attention(const FlashAttention& a) {
  const Attention all(a);
  const at::Tensor maximum = at::empty({all.batch, all.heads, all.targets, 1}, at::kFloat), sum = at::empty_like(maximum);
  const at::Tensor out = at::empty({all.batch, all.heads, all.targets, all.v.size(3)}, at::kFloat);
  all.for_each_part([&](const Part& part) {
    at::Tensor weights = part.scores();
    const at::Tensor highest = weights.amax(-1, true);
    weights = part.unmasked(weights.sub_(highest).exp_());
    at::Tensor total = weights.sum(-1, true);
    part.of(maximum).copy_(highest);
    part.of(sum).copy_(total);
    if (all.dropping) weights.mul_(part.kept());
    // Rows that are masked as a whole give zeros.
    if (all.hidden.defined()) total = total.masked_fill(total.eq(0), 1);
    part.of(out).copy_(at::matmul(weights, part.of_sources(all.v)).div_(total));
  });
  return {maximum.expand({-1, -1, -1, 8}), sum.expand({-1, -1, -1, 8}), as_given(out, a.layout, a.query)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_attention_backward(const FlashAttention& a, const at::Tensor& grad,
                                                                                    const at::Tensor& maximum, const at::Tensor& sum,
                                                                                    const at::Tensor& out) {
  const Attention all(a);
  const at::Tensor g = all.first(grad), o = all.first(out);
  const at::Tensor logsumexp = sum.narrow(3, 0, 1).log().add_(maximum.narrow(3, 0, 1));
  const at::Tensor dq = at::empty(all.q.sizes(), at::kFloat), dk = at::empty(all.k.sizes(), at::kFloat), dv = at::empty(all.v.sizes(), at::kFloat);
  at::Tensor dpse;
  if (all.pse.defined()) dpse = at::empty(all.pse.sizes(), at::kFloat);
  all.for_each_part([&](const Part& part) {
    // Zero where masked, also in rows that are masked as a whole.
    const at::Tensor p = part.unmasked(part.scores().sub_(part.of(logsumexp)).exp_());
    const at::Tensor g_part = part.of(g), kept = all.dropping ? part.kept() : at::Tensor();
    part.add_sources(dv, at::matmul((all.dropping ? p.mul(kept) : p).transpose(2, 3), g_part));
    at::Tensor ds = at::matmul(g_part, part.of_sources(all.v).transpose(2, 3));
    if (all.dropping) ds.mul_(kept);
    ds.sub_(g_part.mul(part.of(o)).sum(-1, true)).mul_(p);
    if (dpse.defined()) part.of(dpse).copy_(all.shifted_first ? ds.mul(a.scale) : ds);
    part.of(dq).copy_(at::matmul(ds, part.of_sources(all.k)).mul_(a.scale));
    part.add_sources(dk, at::matmul(ds.transpose(2, 3), part.of(all.q)).mul_(a.scale));
  });
  if (dpse.defined()) dpse = reduced_to(dpse, a.pse);
  return {as_given(dq, a.layout, a.query), as_given(dk, a.layout, a.key), as_given(dv, a.layout, a.value), dpse};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_attention_packed(const FlashAttention& a, at::OptionalIntArrayRef query_ends, at::OptionalIntArrayRef key_ends) {
  const at::Tensor maximum = at::zeros({a.query.size(0), a.heads, 8}, at::kFloat), sum = at::zeros_like(maximum), out = at::zeros_like(a.query);
  for_each_sequence(a, query_ends, key_ends, [&](const FlashAttention& one, int64_t target, int64_t) {
    const auto [highest, total, result] = flash_attention(one);
    const int64_t targets = one.query.size(1);
    maximum.narrow(0, target, targets).copy_(highest[0].transpose(0, 1));
    sum.narrow(0, target, targets).copy_(total[0].transpose(0, 1));
    out.narrow(0, target, targets).copy_(result[0]);
  });
  return {maximum, sum, out};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> flash_attention_packed_backward(
    const FlashAttention& a, at::OptionalIntArrayRef query_ends, at::OptionalIntArrayRef key_ends, const at::Tensor& grad, const at::Tensor& maximum,
    const at::Tensor& sum, const at::Tensor& out) {
  const at::Tensor dq = at::zeros_like(a.query), dk = at::zeros_like(a.key), dv = at::zeros_like(a.value);
  for_each_sequence(a, query_ends, key_ends, [&](const FlashAttention& one, int64_t target, int64_t source) {
    const int64_t targets = one.query.size(1), sources = one.key.size(1);
    const auto part = [&](const at::Tensor& t) { return t.narrow(0, target, targets); };
    const auto statistics = [&](const at::Tensor& t) { return part(t).transpose(0, 1).unsqueeze(0); };
    const auto [q, k, v, none] = flash_attention_backward(one, part(grad).unsqueeze(0), statistics(maximum), statistics(sum), part(out).unsqueeze(0));
    part(dq).copy_(q[0]);
    dk.narrow(0, source, sources).copy_(k[0]);
    dv.narrow(0, source, sources).copy_(v[0]);
  });
  return {dq, dk, dv, at::Tensor()};
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
