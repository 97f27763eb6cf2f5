#include "ops/segment_expressions.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/logical_or.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <limits>

namespace torch_npu::ops {
namespace {

enum class Reduction { Sum, Mean, Max, Min, Prod };

Reduction reduction_of(string_view name) {
  if (name == "sum") return Reduction::Sum;
  if (name == "mean") return Reduction::Mean;
  if (name == "max" || name == "amax") return Reduction::Max;
  if (name == "min" || name == "amin") return Reduction::Min;
  TORCH_CHECK(name == "prod", "reduce argument must be either sum, prod, mean, amax or amin, got ", name);
  return Reduction::Prod;
}

string_view scatter_name(Reduction r) {
  return r == Reduction::Max ? "amax" : r == Reduction::Min ? "amin" : r == Reduction::Prod ? "prod" : "sum";
}

at::Tensor as_offsets(const at::Tensor& lengths) {
  const at::Tensor ends = lengths.cumsum(-1);
  return at::cat({at::zeros_like(ends.narrow(-1, 0, 1)), ends}, -1);
}

// Which segment each element along `axis` is in, one number per element; elements of no segment are in one more at the end.
struct Segments {
  at::Tensor of_element, lengths;  // lengths with a dimension per dimension of data
  int64_t count = 0;

  Segments(const at::Tensor& data, const at::Tensor& offsets, int64_t axis) {
    count = offsets.size(-1) - 1;
    c10::DimVector sizes(offsets.sizes());
    sizes.back() = data.size(axis);
    const at::Tensor positions = at::arange(data.size(axis), offsets.options()).expand(sizes).contiguous();
    at::Tensor found = at::searchsorted(offsets.contiguous(), positions, /*out_int32=*/false, /*right=*/true).sub(1);
    found = at::where(at::logical_or(found.lt(0), found.ge(count)), count, found);
    lengths = offsets.diff(1, -1);
    for (int64_t d = axis + 1; d < data.dim(); ++d) {
      found = found.unsqueeze(-1);
      lengths = lengths.unsqueeze(-1);
    }
    of_element = found.expand_as(data);
  }

  // Reduces `values` per segment, starting from `start`.
  at::Tensor reduce(const at::Tensor& values, int64_t axis, const at::Scalar& start, string_view how) const {
    c10::DimVector sizes(values.sizes());
    sizes[axis] = count + 1;
    return at::full(sizes, start, values.options()).scatter_reduce(axis, of_element, values, how, true).narrow(axis, 0, count);
  }

  // Every element's value of its segment; `outside` for elements of none.
  at::Tensor spread(const at::Tensor& per_segment, int64_t axis, const at::Scalar& outside) const {
    c10::DimVector sizes(of_element.sizes());
    sizes[axis] = count;
    const at::Tensor full = per_segment.expand(sizes);
    sizes[axis] = 1;
    return at::cat({full, at::full(sizes, outside, full.options())}, axis).gather(axis, of_element);
  }
};

at::Scalar start_of(Reduction r, const optional<at::Scalar>& initial) {
  if (initial.has_value()) return *initial;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return r == Reduction::Max ? -kInfinity : r == Reduction::Min ? kInfinity : r == Reduction::Prod ? 1.0 : 0.0;
}

at::Tensor offsets_of(const at::Tensor& data, const OptionalTensor& lengths, const OptionalTensor& offsets, int64_t axis) {
  const bool by_offsets = offsets.has_value() && offsets->defined();
  TORCH_CHECK(by_offsets || (lengths.has_value() && lengths->defined()),
              "segment_reduce(): Either lengths or offsets must be defined.");
  const at::Tensor& given = by_offsets ? *offsets : *lengths;
  TORCH_CHECK(data.device() == given.device(), "Expected all tensors to be on the same device, but found at least two devices, ",
              data.device(), " and ", given.device(), "!");
  TORCH_CHECK(axis == given.dim() - 1, "segment_reduce(): Expected axis to be the last dimension of ",
              by_offsets ? "offsets" : "lengths", " but got ", axis, ".");
  TORCH_CHECK_NOT_IMPLEMENTED(given.scalar_type() == at::kInt || given.scalar_type() == at::kLong,
                              "\"segment_reduce\" not implemented for lengths or offsets of '", given.scalar_type(), "'");
  return by_offsets ? given : as_offsets(given);
}

}  // namespace

at::Tensor reduce_segments(const at::Tensor& data, string_view reduce, const OptionalTensor& lengths,
                          const OptionalTensor& indices, const OptionalTensor& offsets, int64_t axis, bool unsafe,
                          const optional<at::Scalar>& initial) {
  axis = at::maybe_wrap_dim(axis, data.dim());
  TORCH_CHECK(!indices.has_value(), "segment_reduce(): indices based reduction is not supported yet.");
  TORCH_CHECK_NOT_IMPLEMENTED(data.is_floating_point(), "\"_segment_reduce\" not implemented for '", data.scalar_type(), "'");
  const at::Tensor bounds = offsets_of(data, lengths, offsets, axis);
  const Reduction r = reduction_of(reduce);
  const Segments segments(data, bounds, axis);
  if (!unsafe && !(offsets.has_value() && offsets->defined())) {
    TORCH_CHECK(lengths->numel() == 0 || lengths->min().item<int64_t>() >= 0, "lengths contains negative value!");
    TORCH_CHECK(lengths->sum(-1).eq(data.size(axis)).all().item<bool>(), "segment_reduce(): Expected all rows of lengths along "
                "axis to sum to data.size(lengths.dim()-1) when !unsafe.");
  }
  at::Tensor result = segments.reduce(data, axis, start_of(r, initial), scatter_name(r));
  if (r != Reduction::Mean) return result;
  const at::Tensor average = result.div(segments.lengths.clamp_min(1));
  return initial.has_value() ? average : average.masked_fill(segments.lengths.eq(0), std::numeric_limits<double>::quiet_NaN());
}

at::Tensor reduce_segments_backward(const at::Tensor& grad, const at::Tensor& output, const at::Tensor& data,
                                   string_view reduce, const OptionalTensor& lengths, const OptionalTensor& offsets,
                                   int64_t axis, const optional<at::Scalar>& initial) {
  axis = at::maybe_wrap_dim(axis, data.dim());
  const Segments segments(data, offsets_of(data, lengths, offsets, axis), axis);
  const Reduction r = reduction_of(reduce);
  if (r == Reduction::Sum) return segments.spread(grad, axis, 0);
  if (r == Reduction::Mean) return segments.spread(grad.div(segments.lengths.clamp_min(1)), axis, 0);
  const at::Tensor g = segments.spread(grad, axis, 0), out = segments.spread(output, axis, 1);
  if (r == Reduction::Prod) {
    // Where dividing by the element does not give the product of the others, they are multiplied.
    const at::Tensor special = at::logical_or(data.eq(0), data.isnan());
    const at::Tensor others = segments.reduce(data.masked_fill(special, 1), axis, start_of(r, initial), "prod");
    const at::Tensor specials = segments.reduce(special.to(data.scalar_type()), axis, 0, "sum");
    const at::Tensor alone = segments.spread(at::where(specials.eq(1), others, output), axis, 0);
    return at::where(special, g.mul(alone), g.mul(out).div(data));
  }
  const at::Tensor chosen = at::logical_and(at::logical_or(data.isnan(), data.eq(out)), segments.of_element.lt(segments.count));
  const at::Tensor ties = segments.reduce(chosen.to(data.scalar_type()), axis, 0, "sum");
  // As on the CPU, ties share a gradient that is positive, and each take one that is not.
  const at::Tensor shared = at::where(g.gt(0), g.div(segments.spread(ties.clamp_min(1), axis, 1)), g);
  return shared.masked_fill(chosen.logical_not(), 0);
}

at::Tensor jagged_to_padded(const at::Tensor& values, at::TensorList offsets, at::IntArrayRef max_lengths, double padding) {
  TORCH_CHECK(offsets.size() == 1 && max_lengths.size() == 1,
              "_jagged_to_padded_dense_forward(): only a single jagged dim is supported for now");
  const at::Tensor& bounds = offsets[0];
  TORCH_CHECK(bounds.dim() == 1, "_jagged_to_padded_dense_forward(): expected 1D offsets, but got offsets.dim() == ", bounds.dim());
  const int64_t batch = bounds.size(0) - 1, longest = max_lengths[0];
  c10::DimVector sizes{batch, longest};
  sizes.append(values.sizes().begin() + 1, values.sizes().end());
  if (values.numel() == 0) return at::full(sizes, padding, values.options());
  const at::Tensor within = at::arange(longest, bounds.options()).unsqueeze(0);
  const at::Tensor inside = within.lt(bounds.diff().unsqueeze(1));
  const at::Tensor row = bounds.narrow(0, 0, batch).unsqueeze(1).add(within).masked_fill(inside.logical_not(), 0);
  c10::DimVector mask_sizes(sizes.size(), 1);
  mask_sizes[0] = batch;
  mask_sizes[1] = longest;
  const at::Tensor found = values.index_select(0, row.reshape({-1})).reshape(sizes);
  return found.masked_fill(inside.logical_not().reshape(mask_sizes), padding);
}

at::Tensor padded_to_jagged(const at::Tensor& dense, at::TensorList offsets, optional<int64_t> total) {
  TORCH_CHECK(offsets.size() == 1, "_padded_dense_to_jagged_forward(): only a single jagged dim is supported for now");
  const at::Tensor& bounds = offsets[0];
  TORCH_CHECK(bounds.dim() == 1, "_padded_dense_to_jagged_forward(): expected 1D offsets, but got offsets.dim() == ", bounds.dim());
  const int64_t end = bounds[-1].item<int64_t>(), size = total.value_or(end);
  TORCH_CHECK(size == end, "_padded_dense_to_jagged_forward(): final offset should match total_L value");
  const int64_t longest = bounds.size(0) > 1 ? bounds.diff().max().item<int64_t>() : 0;
  TORCH_CHECK(longest <= dense.size(1), "_padded_dense_to_jagged_forward(): found batch item of length ", longest,
              " when max length specified by padded input is ", dense.size(1));
  const at::Tensor rows = at::arange(size, bounds.options());
  const at::Tensor item = at::searchsorted(bounds, rows, /*out_int32=*/false, /*right=*/true).sub(1);
  const at::Tensor position = item.mul(dense.size(1)).add(rows).sub(bounds.index_select(0, item));
  return dense.flatten(0, 1).index_select(0, position);
}

at::Tensor compressed_to_rows(const at::Tensor& compressed, int64_t nnz) {
  c10::DimVector sizes(compressed.sizes());
  sizes.back() = nnz;
  const at::Tensor positions = at::arange(nnz, compressed.options()).expand(sizes).contiguous();
  return at::searchsorted(compressed.contiguous(), positions, compressed.scalar_type() == at::kInt, /*right=*/true).sub(1);
}

at::Tensor csr_to_coo(const at::Tensor& crow, const at::Tensor& col, bool out_int32, bool transpose) {
  TORCH_CHECK(crow.dim() == col.dim(), "crow_indices and col_indices are supposed to have the same dimensionality, but got ",
              crow.dim(), " and ", col.dim(), " respectively.");
  const at::ScalarType dtype = out_int32 ? at::kInt : at::kLong;
  const at::Tensor rows = compressed_to_rows(crow, col.size(-1)).to(dtype).reshape({1, -1}), columns = col.to(dtype).reshape({1, -1});
  const at::Tensor plain = transpose ? at::cat({columns, rows}, 0) : at::cat({rows, columns}, 0);
  if (crow.dim() == 1) return plain;
  const at::Tensor batch = at::ones(col.sizes(), col.options().dtype(at::kBool)).nonzero().t().narrow(0, 0, crow.dim() - 1);
  return at::cat({batch.to(dtype), plain}, 0);
}

void validate_compressed(bool is_crow, const at::Tensor& compressed, const at::Tensor& plain, int64_t cdim, int64_t dim,
                         int64_t nnz) {
  const char *c = is_crow ? "crow_indices" : "ccol_indices", *p = is_crow ? "col_indices" : "row_indices";
  const char *rows = is_crow ? "nrows" : "ncols", *columns = is_crow ? "ncols" : "nrows";
  const auto all = [](const at::Tensor& t) { return t.all().item<bool>(); };
  if (plain.numel() > 0) {
    TORCH_CHECK(all(at::logical_and(plain.ge(0), plain.lt(dim))), "`0 <= ", p, " < ", columns, "` is not satisfied.");
  }
  if (compressed.numel() == 0) return;
  TORCH_CHECK(all(compressed.select(-1, 0).eq(0)), "`", c, "[..., 0] == 0` is not satisfied.");
  TORCH_CHECK(all(compressed.select(-1, -1).eq(nnz)), "`", c, "[..., -1] == nnz` is not satisfied.");
  if (cdim > 0) {
    const at::Tensor lengths = compressed.diff(1, -1);
    TORCH_CHECK(all(at::logical_and(lengths.ge(0), lengths.le(dim))), "`0 <= ", c, "[..., 1:] - ", c, "[..., :-1] <= ", columns,
                "` is not satisfied.");
  }
  if (nnz < 2) return;
  const at::Tensor row = compressed_to_rows(compressed, nnz);
  const at::Tensor sorted = at::logical_or(row.diff(1, -1).ne(0), plain.diff(1, -1).gt(0));
  TORCH_CHECK(all(sorted), "`", p, "[..., ", c, "[..., i - 1]:", c, "[..., i]] for all i = 1, ..., ", rows,
              " are sorted and distinct along the last dimension values` is not satisfied.");
}

}  // namespace torch_npu::ops
