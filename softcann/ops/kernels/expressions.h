// What the rows of softcann/ops/*.yaml may use besides at:: functions: CANN's spellings turned into ATen's.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

#include <array>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "softcann/ops/kernels/types.h"

namespace softcann::ops {

// A generator that gives equal numbers for equal (seed, offset). Philox counts its position in `offset`; here it selects the sequence.
at::Generator generator(int64_t seed, int64_t offset);
// The same with seed and offset in one-element tensors, plus an offset of its own.
at::Generator generator(const at::Tensor& seed, const at::Tensor& offset, int64_t added = 0);

// An empty list means all dimensions.
at::OptionalIntArrayRef dims_or_all(at::IntArrayRef dims);

// The tensors of a list that may stand for "this dimension is not indexed": ATen's optionals. CANN has no null in a list, an empty
// tensor of any type stands for it.
c10::List<std::optional<at::Tensor>> indices(at::TensorList list);

// CANN's division modes: 0 true division, 1 trunc, 2 floor.
std::optional<std::string_view> rounding_mode(int64_t mode);

// One bit per element, least significant first, 1 = keep; the layout of CANN's dropout masks.
void pack_bits(const at::Tensor& mask, const at::Tensor& bits);
at::Tensor unpack_bits(const at::Tensor& bits, at::IntArrayRef shape);

}  // namespace softcann::ops
