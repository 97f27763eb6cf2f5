// torch.ops.npu.npu_fusion_attention: CANN's flash attention as programs for Ascend call it. Hand-written: torch has no such operator, so
// its schema, its meta function and its derivative are here too. torch_npu/operators.py documents it.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/flash_attention.h"
#include "ops/nn_expressions.h"
#include "ops/own_operator.h"

namespace torch_npu::ops {
namespace {

using at::OptionalIntArrayRef;
using launch::Launch;

constexpr char kForward[] = "npu::npu_fusion_attention", kBackward[] = "npu::npu_fusion_attention_grad";
constexpr int64_t kStatistics = 8;  // CANN keeps each row's maximum and sum so many times

// What both directions are told.
struct Options {
  int64_t heads;
  string_view layout;
  double scale, keep;
  int64_t pre_tokens, next_tokens, inner_precise;
  OptionalIntArrayRef prefix, query_ends, key_ends;
  int64_t sparse_mode;

  bool packed() const { return layout == "TND"; }
};

// Where a layout has its dimensions. H is heads * size.
struct Layout {
  const char* name;
  int64_t dims, batch, length, heads, size;  // -1: none; heads == size: merged
};
constexpr Layout kLayouts[] = {{"BNSD", 4, 0, 2, 1, 3}, {"BSND", 4, 0, 1, 2, 3}, {"BSH", 3, 0, 1, 2, 2}, {"SBH", 3, 1, 0, 2, 2}, {"TND", 3, -1, 0, 1, 2}};

const Layout& layout_of(string_view name) {
  for (const Layout& l : kLayouts) {
    if (name == l.name) return l;
  }
  TORCH_CHECK_VALUE(false, "npu_fusion_attention: input_layout is '", name, "'; BNSD, BSND, BSH, SBH and TND exist");
}

struct Sizes {
  int64_t batch, targets, sources, scores;
};

int64_t heads_of(const at::Tensor& t, const Layout& l, int64_t size) { return l.heads == l.size ? t.size(l.size) / size : t.size(l.heads); }

// The sum of targets * sources over the sequences that `ends` delimit.
int64_t pairs_of_sequences(const at::Tensor& query, const at::Tensor& key, const Options& o) {
  TORCH_CHECK_VALUE(o.query_ends.has_value() && o.key_ends.has_value(),
                    "npu_fusion_attention: the layout TND needs actual_seq_qlen and actual_seq_kvlen, the ends of the sequences");
  TORCH_CHECK_VALUE(o.query_ends->size() == o.key_ends->size(), "npu_fusion_attention: actual_seq_qlen has ", o.query_ends->size(),
                    " elements, actual_seq_kvlen has ", o.key_ends->size());
  int64_t pairs = 0, target = 0, source = 0;
  for (size_t i = 0; i < o.query_ends->size(); ++i) {
    const int64_t targets = (*o.query_ends)[i] - target, sources = (*o.key_ends)[i] - source;
    TORCH_CHECK_VALUE(targets >= 0 && sources >= 0, "npu_fusion_attention: actual_seq_qlen and actual_seq_kvlen are ends, which do not descend; got ",
                      *o.query_ends, " and ", *o.key_ends);
    pairs += targets * sources, target += targets, source += sources;
  }
  TORCH_CHECK_VALUE(target <= query.size(0) && source <= key.size(0), "npu_fusion_attention: the sequences end at ", target, " and ", source,
                    ", query has ", query.size(0), " rows and key has ", key.size(0));
  return pairs;
}

Sizes checked(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& mask, const Options& o) {
  const Layout& l = layout_of(o.layout);
  for (const auto& [t, name] : {std::pair(&query, "query"), std::pair(&key, "key"), std::pair(&value, "value")}) {
    TORCH_CHECK_VALUE(t->dim() == l.dims, "npu_fusion_attention: ", name, " has shape ", t->sizes(), "; the layout ", o.layout, " has ", l.dims,
                      " dimensions");
    TORCH_CHECK_TYPE(t->scalar_type() == query.scalar_type(), "npu_fusion_attention: query is ", launch::dtype_name(query.scalar_type()), ", ", name,
                     " is ", launch::dtype_name(t->scalar_type()));
  }
  const at::ScalarType dtype = query.scalar_type();
  TORCH_CHECK_TYPE(dtype == at::kFloat || dtype == at::kHalf || dtype == at::kBFloat16,
                   "npu_fusion_attention: the data type has to be float32, float16 or bfloat16, not ", launch::dtype_name(dtype));
  TORCH_CHECK_VALUE(o.heads > 0 && o.heads <= kMostHeads, "npu_fusion_attention: head_num is ", o.heads, "; 1 to ", kMostHeads, " are possible");
  const int64_t width = query.size(l.size), size = l.heads == l.size ? width / o.heads : width;
  TORCH_CHECK_VALUE(l.heads == l.size ? width % o.heads == 0 : query.size(l.heads) == o.heads, "npu_fusion_attention: head_num is ", o.heads,
                    ", which query of shape ", query.sizes(), " in layout ", o.layout, " has not");
  TORCH_CHECK_VALUE(size > 0 && size <= kLargestHead, "npu_fusion_attention: the head size is ", size, "; 1 to ", kLargestHead, " are possible");
  TORCH_CHECK_VALUE(l.heads != l.size || key.size(2) % size == 0, "npu_fusion_attention: key of shape ", key.sizes(), " has no heads of size ", size);
  const int64_t key_heads = heads_of(key, l, size);
  TORCH_CHECK_VALUE(key_heads > 0 && o.heads % key_heads == 0 && (l.heads == l.size || key.size(l.size) == size),
                    "npu_fusion_attention: query of shape ", query.sizes(), " and key of shape ", key.sizes(), " do not belong together in layout ",
                    o.layout, " with ", o.heads, " heads");
  TORCH_CHECK_VALUE(value.sizes() == key.sizes(), "npu_fusion_attention: value has shape ", value.sizes(), ", key has ", key.sizes());
  TORCH_CHECK_VALUE(l.batch < 0 || key.size(l.batch) == query.size(l.batch), "npu_fusion_attention: query has shape ", query.sizes(), ", key has ",
                    key.sizes(), ": the batch sizes differ");
  TORCH_CHECK_VALUE(o.keep > 0 && o.keep <= 1, "npu_fusion_attention: keep_prob is ", o.keep, "; it is above 0 and at most 1");
  if (o.sparse_mode == kCausalFromTopLeft || o.sparse_mode == kCausalFromBottomRight || o.sparse_mode == kBand) {
    TORCH_CHECK_VALUE(mask.defined() && mask.dim() >= 2 && mask.size(-1) == kCompressedMask && mask.size(-2) == kCompressedMask,
                      "npu_fusion_attention: sparse_mode ", o.sparse_mode, " needs an atten_mask of 2048 x 2048, true above the diagonal: "
                      "torch.ones(2048, 2048, dtype=torch.bool, device=\"npu\").triu(1)");
  }
  if (mask.defined()) {
    TORCH_CHECK_TYPE(mask.scalar_type() == at::kBool || mask.scalar_type() == at::kByte, "npu_fusion_attention: atten_mask is bool or uint8, not ",
                     launch::dtype_name(mask.scalar_type()));
  }
  Sizes s{l.batch < 0 ? 0 : query.size(l.batch), query.size(l.length), key.size(l.length), 0};
  s.scores = o.heads * (o.packed() ? pairs_of_sequences(query, key, o) : s.batch * s.targets * s.sources);
  return s;
}

// Arguments that the schemas have and no kernel uses yet.
void check_defaults(string_view input_layout, string_view softmax_layout, const OptionalTensor& padding_mask, const OptionalTensor& sink,
                    const OptionalTensor& dropout_mask = nullopt) {
  const bool other_layout = !softmax_layout.empty() && softmax_layout != input_layout;
  const std::pair<bool, const char*> asked[] = {
      {given(padding_mask), "padding_mask"}, {given(sink), "sink"}, {given(dropout_mask), "dropout_mask"}, {other_layout, "softmax_layout"}};
  for (const auto& [is, argument] : asked) {
    TORCH_CHECK_NOT_IMPLEMENTED(!is, "npu_fusion_attention: ", argument, " is not supported yet; leave it at its default");
  }
}

// The arguments that the functions for whole batches and for packed sequences, forward and backward, have in common.
void pack(Launch& l, const Options& o) {
  l.ints(o.prefix);
  if (o.packed()) l.ints(o.query_ends), l.ints(o.key_ends);
  l.real(o.scale), l.real(o.keep), l.integer(o.pre_tokens), l.integer(o.next_tokens), l.integer(o.heads), l.string(o.layout);
  l.integer(o.inner_precise), l.integer(o.sparse_mode);
}

at::Tensor or_none(const OptionalTensor& t) { return given(t) ? *t : at::Tensor(); }

using Attention = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, int64_t, int64_t, int64_t>;

// Also the meta function: tensors without memory are not computed with.
Attention fusion_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t head_num, string_view input_layout,
                           const OptionalTensor& pse, const OptionalTensor& padding_mask, const OptionalTensor& atten_mask, double scale,
                           double keep_prob, int64_t pre_tockens, int64_t next_tockens, int64_t inner_precise, OptionalIntArrayRef prefix,
                           OptionalIntArrayRef actual_seq_qlen, OptionalIntArrayRef actual_seq_kvlen, int64_t sparse_mode, bool /*gen_mask_parallel*/,
                           bool /*sync*/, string_view softmax_layout, const OptionalTensor& sink, const OptionalTensor& dropout_mask, int64_t seed,
                           int64_t offset) {
  const DeviceScope scope(query, key, value, pse, atten_mask);
  const Options o{head_num, input_layout, scale, keep_prob, pre_tockens, next_tockens, inner_precise, prefix, actual_seq_qlen, actual_seq_kvlen, sparse_mode};
  check_defaults(input_layout, softmax_layout, padding_mask, sink, dropout_mask);
  const at::Tensor shift = or_none(pse), mask = or_none(atten_mask);
  const Sizes s = checked(query, key, value, mask, o);

  const auto statistics = query.options().dtype(at::kFloat);
  const at::Tensor maximum = o.packed() ? at::empty({s.targets, head_num, kStatistics}, statistics)
                                        : at::empty({s.batch, head_num, s.targets, kStatistics}, statistics);
  const at::Tensor sum = at::empty_like(maximum), softmax = at::empty({0}, query.options()), out = at::empty(query.sizes(), query.options());
  if (query.is_meta()) return {out, maximum, sum, softmax, seed, offset, s.scores};

  Philox random{seed, offset};
  if (keep_prob < 1 && seed == 0 && offset == 0) random = philox(nullopt, query.device(), s.scores);
  const at::Tensor bits = dropout_bits(query, s.scores, 1 - keep_prob, random, kForward);
  Launch l(o.packed() ? aclnn::aclnnFlashAttentionVarLenScore : aclnn::aclnnFlashAttentionScore, kForward);
  l.tensor(query), l.tensor(key), l.tensor(value), l.tensor(shift), l.tensor(bits), l.tensor(at::Tensor()), l.tensor(mask);
  pack(l, o);
  l.tensor(maximum), l.tensor(sum), l.tensor(at::Tensor()), l.tensor(out);
  l.submit();
  return {out, maximum, sum, softmax, random.seed, random.offset, s.scores};
}

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

Gradients fusion_attention_grad(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& dy, int64_t head_num,
                                string_view input_layout, const OptionalTensor& pse, const OptionalTensor& padding_mask,
                                const OptionalTensor& atten_mask, const OptionalTensor& softmax_max, const OptionalTensor& softmax_sum,
                                const OptionalTensor& softmax_in, const OptionalTensor& attention_in, double scale_value, double keep_prob,
                                int64_t pre_tockens, int64_t next_tockens, int64_t inner_precise, int64_t seed, int64_t offset, int64_t /*numels*/,
                                OptionalIntArrayRef prefix, OptionalIntArrayRef actual_seq_qlen, OptionalIntArrayRef actual_seq_kvlen,
                                int64_t sparse_mode, bool /*gen_mask_parallel*/, bool /*sync*/, string_view softmax_layout, const OptionalTensor& sink) {
  const DeviceScope scope(query, key, value, dy, pse, atten_mask);
  const Options o{head_num, input_layout, scale_value, keep_prob, pre_tockens, next_tockens, inner_precise, prefix, actual_seq_qlen, actual_seq_kvlen,
                  sparse_mode};
  check_defaults(input_layout, softmax_layout, padding_mask, sink);
  TORCH_CHECK_VALUE(given(softmax_max) && given(softmax_sum) && given(attention_in),
                    "npu_fusion_attention_grad: softmax_max, softmax_sum and attention_in, which npu_fusion_attention returns, are needed");
  const at::Tensor shift = or_none(pse), mask = or_none(atten_mask);
  const Sizes s = checked(query, key, value, mask, o);
  TORCH_CHECK_VALUE(dy.sizes() == query.sizes(), "npu_fusion_attention_grad: dy has shape ", dy.sizes(), ", query has ", query.sizes());

  const at::Tensor grad_query = at::empty(query.sizes(), query.options()), grad_key = at::empty(key.sizes(), key.options());
  const at::Tensor grad_value = at::empty(value.sizes(), value.options());
  const at::Tensor grad_shift = shift.defined() ? at::empty(shift.sizes(), shift.options()) : at::empty({0}, query.options());
  const Gradients out{grad_query, grad_key, grad_value, grad_shift, at::empty({0}, query.options())};
  if (query.is_meta()) return out;

  const at::Tensor bits = dropout_bits(query, s.scores, 1 - keep_prob, {seed, offset}, kBackward);
  Launch l(o.packed() ? aclnn::aclnnFlashAttentionUnpaddingScoreGrad : aclnn::aclnnFlashAttentionScoreGrad, kBackward);
  l.tensor(query), l.tensor(key), l.tensor(value), l.tensor(dy), l.tensor(shift), l.tensor(bits), l.tensor(at::Tensor()), l.tensor(mask);
  l.tensor(softmax_max), l.tensor(softmax_sum), l.tensor(softmax_in), l.tensor(attention_in);
  pack(l, o);
  l.tensor(grad_query), l.tensor(grad_key), l.tensor(grad_value), l.tensor(shift.defined() ? grad_shift : at::Tensor());
  l.submit();
  return out;
}

// Numbers that the derivative needs, by value: the lists that Options refers to end with the call.
struct Saved {
  int64_t heads;
  std::string layout;
  double scale, keep;
  int64_t pre_tokens, next_tokens, inner_precise, sparse_mode;
  optional<std::vector<int64_t>> prefix, query_ends, key_ends;
  int64_t seed = 0, offset = 0, scores = 0;
};

optional<std::vector<int64_t>> copied(OptionalIntArrayRef list) {
  return list.has_value() ? optional<std::vector<int64_t>>(list->vec()) : nullopt;
}
OptionalIntArrayRef viewed(const optional<std::vector<int64_t>>& list) {
  return list.has_value() ? OptionalIntArrayRef(at::IntArrayRef(*list)) : OptionalIntArrayRef();
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Differentiable : torch::autograd::Function<Differentiable> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const OptionalTensor& pse, const OptionalTensor& mask, const std::shared_ptr<Saved>& saved) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = operator_named<decltype(fusion_attention)>(kForward);
    auto [out, maximum, sum, softmax, seed, offset, scores] =
        op.call(query, key, value, saved->heads, saved->layout, pse, nullopt, mask, saved->scale, saved->keep, saved->pre_tokens, saved->next_tokens,
                saved->inner_precise, viewed(saved->prefix), viewed(saved->query_ends), viewed(saved->key_ends), saved->sparse_mode, true, false, "",
                nullopt, nullopt, saved->seed, saved->offset);
    saved->seed = seed, saved->offset = offset, saved->scores = scores;
    ctx->save_for_backward({query, key, value, or_none(pse), or_none(mask), out, maximum, sum});
    ctx->mark_non_differentiable({maximum, sum, softmax});
    ctx->saved_data["numbers"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(saved));
    return {out, maximum, sum, softmax};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = c10::static_intrusive_pointer_cast<Holder>(ctx->saved_data["numbers"].toCapsule())->saved;
    const variable_list t = ctx->get_saved_variables();
    static const auto op = operator_named<decltype(fusion_attention_grad)>(kBackward);
    auto [query, key, value, pse, sink] =
        op.call(t[0], t[1], t[2], grads[0], saved->heads, saved->layout, t[3], nullopt, t[4], t[6], t[7], nullopt, t[5], saved->scale, saved->keep,
                saved->pre_tokens, saved->next_tokens, saved->inner_precise, saved->seed, saved->offset, saved->scores, viewed(saved->prefix),
                viewed(saved->query_ends), viewed(saved->key_ends), saved->sparse_mode, true, false, "", nullopt);
    return {query, key, value, t[3].defined() ? pse : at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  struct Holder : torch::CustomClassHolder {
    explicit Holder(std::shared_ptr<Saved> saved) : saved(std::move(saved)) {}
    std::shared_ptr<Saved> saved;
  };
};

Attention fusion_attention_autograd(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t head_num,
                                    string_view input_layout, const OptionalTensor& pse, const OptionalTensor& padding_mask,
                                    const OptionalTensor& atten_mask, double scale, double keep_prob, int64_t pre_tockens, int64_t next_tockens,
                                    int64_t inner_precise, OptionalIntArrayRef prefix, OptionalIntArrayRef actual_seq_qlen,
                                    OptionalIntArrayRef actual_seq_kvlen, int64_t sparse_mode, bool /*gen_mask_parallel*/, bool /*sync*/,
                                    string_view softmax_layout, const OptionalTensor& sink, const OptionalTensor& dropout_mask, int64_t seed,
                                    int64_t offset) {
  check_defaults(input_layout, softmax_layout, padding_mask, sink, dropout_mask);
  const auto saved = std::make_shared<Saved>(Saved{head_num, std::string(input_layout), scale, keep_prob, pre_tockens, next_tockens, inner_precise,
                                                   sparse_mode, copied(prefix), copied(actual_seq_qlen), copied(actual_seq_kvlen), seed, offset});
  const variable_list out = Differentiable::apply(query, key, value, pse, atten_mask, saved);
  return {out[0], out[1], out[2], out[3], saved->seed, saved->offset, saved->scores};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(npu, m) {
  m.def(
      "npu_fusion_attention(Tensor query, Tensor key, Tensor value, int head_num, str input_layout, Tensor? pse=None, Tensor? padding_mask=None, "
      "Tensor? atten_mask=None, float scale=1., float keep_prob=1., int pre_tockens=2147483647, int next_tockens=2147483647, int inner_precise=0, "
      "int[]? prefix=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, int sparse_mode=0, bool gen_mask_parallel=True, "
      "bool sync=False, str softmax_layout=\"\", Tensor? sink=None, Tensor? dropout_mask=None, int seed=0, int offset=0) "
      "-> (Tensor, Tensor, Tensor, Tensor, int, int, int)");
  m.def(
      "npu_fusion_attention_grad(Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, Tensor? pse=None, "
      "Tensor? padding_mask=None, Tensor? atten_mask=None, Tensor? softmax_max=None, Tensor? softmax_sum=None, Tensor? softmax_in=None, "
      "Tensor? attention_in=None, float scale_value=1., float keep_prob=1., int pre_tockens=2147483647, int next_tockens=2147483647, "
      "int inner_precise=0, int seed=0, int offset=0, int numels=0, int[]? prefix=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, "
      "int sparse_mode=0, bool gen_mask_parallel=True, bool sync=False, str softmax_layout=\"\", Tensor? sink=None) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(npu, PrivateUse1, m) {
  m.impl("npu_fusion_attention", TORCH_FN(fusion_attention));
  m.impl("npu_fusion_attention_grad", TORCH_FN(fusion_attention_grad));
}

TORCH_LIBRARY_IMPL(npu, Meta, m) {
  m.impl("npu_fusion_attention", TORCH_FN(fusion_attention));
  m.impl("npu_fusion_attention_grad", TORCH_FN(fusion_attention_grad));
}

TORCH_LIBRARY_IMPL(npu, Autograd, m) { m.impl("npu_fusion_attention", TORCH_FN(fusion_attention_autograd)); }

}  // namespace torch_npu::ops
