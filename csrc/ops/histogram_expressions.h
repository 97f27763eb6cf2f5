// Histograms over explicit bin edges, composed of searchsorted and index_add.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "compat/compat.h"

namespace torch_npu::ops {

using OptionalRange = optional<at::ArrayRef<double>>;

// Equally spaced edges for each of the last dimension's coordinates: within `range`, or from the least to the greatest value.
std::vector<at::Tensor> equal_bin_edges(const at::Tensor& self, at::IntArrayRef bins, OptionalRange range);
// Counts (or weights, or density) of the points self[..., n] between the n lists of edges.
at::Tensor counts_between(const at::Tensor& self, at::TensorList edges, const optional<at::Tensor>& weight, bool density);

}  // namespace torch_npu::ops
