#include "ops/histogram_expressions.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>

namespace torch_npu::ops {
namespace {

void check_points(const at::Tensor& self) {
  TORCH_CHECK(self.dim() >= 2, "torch.histogramdd: input tensor should have at least 2 dimensions");
  TORCH_CHECK_NOT_IMPLEMENTED(self.scalar_type() == at::kFloat || self.scalar_type() == at::kDouble,
                              "\"histogramdd\" not implemented for '", self.scalar_type(), "'");
}

}  // namespace

std::vector<at::Tensor> equal_bin_edges(const at::Tensor& self, at::IntArrayRef bins, OptionalRange range) {
  check_points(self);
  const int64_t n = self.size(-1);
  TORCH_CHECK(static_cast<int64_t>(bins.size()) == n,
              "histogramdd: The size of bins must be equal to the innermost dimension of the input.");
  TORCH_CHECK(!range.has_value() || static_cast<int64_t>(range->size()) == 2 * n, "torch.histogramdd: for a ", n,
              "-dimensional histogram range should have ", 2 * n, " elements, but got ", range.has_value() ? range->size() : 0);
  at::Tensor least, greatest;
  if (!range.has_value() && self.numel() > 0) {
    const auto extremes = at::aminmax(self.reshape({-1, n}), 0);
    least = std::get<0>(extremes).cpu().to(at::kDouble);
    greatest = std::get<1>(extremes).cpu().to(at::kDouble);
  }
  std::vector<at::Tensor> edges;
  for (int64_t d = 0; d < n; ++d) {
    TORCH_CHECK(bins[d] > 0, "torch.histogram(): bins must be > 0, but got ", bins[d], " for dimension ", d);
    double low = 0, high = 1;
    if (range.has_value()) {
      low = (*range)[2 * d];
      high = (*range)[2 * d + 1];
    } else if (least.defined()) {
      low = least[d].item<double>();
      high = greatest[d].item<double>();
    }
    TORCH_CHECK(std::isfinite(low) && std::isfinite(high), "torch.histogramdd: dimension ", d, "'s range [", low, ", ", high,
                "] is not finite");
    TORCH_CHECK(low <= high, "torch.histogramdd: min should not exceed max, but got min ", low, " max ", high,
                " for dimension ", d);
    if (low == high) {
      low -= 0.5;
      high += 0.5;
    }
    edges.push_back(at::linspace(low, high, bins[d] + 1, self.options()));
  }
  return edges;
}

at::Tensor counts_between(const at::Tensor& self, at::TensorList edges, const optional<at::Tensor>& weight, bool density) {
  check_points(self);
  const int64_t n = self.size(-1);
  TORCH_CHECK(static_cast<int64_t>(edges.size()) == n, "torch.histogramdd: expected ", n,
              " sequences of bin edges for a ", n, "-dimensional histogram but got ", edges.size());
  c10::DimVector sizes;
  for (int64_t d = 0; d < n; ++d) {
    const at::Tensor& e = edges[d];
    TORCH_CHECK(e.dtype() == self.dtype(), "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got "
                "input with dtype ", self.dtype(), " and bins for dimension ", d, " with dtype ", e.dtype());
    TORCH_CHECK(e.dim() == 1, "torch.histogramdd: bins tensor should have one dimension, but got ", e.dim(),
                " dimensions in the bins tensor for dimension ", d);
    TORCH_CHECK(e.numel() > 0, "torch.histogramdd: bins tensor should have at least 1 element, but got ", e.numel(),
                " elements in the bins tensor for dimension ", d);
    sizes.push_back(e.numel() - 1);
    TORCH_CHECK(sizes.back() > 0, "torch.histogram(): bins must be > 0, but got ", sizes.back(), " for dimension ", d);
  }
  at::Tensor weights;
  if (weight.has_value() && weight->defined()) {
    weights = n == 1 && weight->sizes() != self.sizes().slice(0, self.dim() - 1) ? weight->reshape({-1}) : *weight;
    TORCH_CHECK(weights.dtype() == self.dtype(), "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor "
                "should have the same dtype, but got input(", self.dtype(), "), and weight(", weights.dtype(), ")");
    TORCH_CHECK(weights.sizes() == self.sizes().slice(0, self.dim() - 1), "torch.histogramdd: if weight tensor is provided it "
                "should have the same shape as the input tensor excluding its innermost dimension, but got input with shape ",
                self.sizes(), " and weight with shape ", weights.sizes());
    weights = weights.reshape({-1});
  }

  // The number of a point's bin, row-major; points outside all bins count in one more at the end.
  const at::Tensor points = self.reshape({-1, n});
  at::Tensor bin, inside;
  for (int64_t d = 0; d < n; ++d) {
    const at::Tensor x = points.select(1, d).contiguous();
    const at::Tensor found = at::searchsorted(edges[d].contiguous(), x, /*out_int32=*/false, /*right=*/true).sub(1).clamp_max(sizes[d] - 1);
    const at::Tensor within = at::logical_and(x.ge(edges[d][0]), x.le(edges[d][-1]));
    bin = d == 0 ? found : bin.mul(sizes[d]).add(found);
    inside = d == 0 ? within : at::logical_and(inside, within);
  }
  const int64_t total = c10::multiply_integers(sizes);
  bin = at::where(inside, bin, total);
  at::Tensor counts = at::zeros({total + 1}, self.options());
  counts.index_add_(0, bin, weights.defined() ? weights : at::ones({points.size(0)}, self.options()));
  at::Tensor result = counts.narrow(0, 0, total).reshape(sizes);
  if (density) {
    result = result.div(result.sum());
    for (int64_t d = 0; d < n; ++d) {
      c10::DimVector shape(n, 1);
      shape[d] = sizes[d];
      result = result.div(edges[d].diff().reshape(shape));
    }
  }
  return result;
}

}  // namespace torch_npu::ops
