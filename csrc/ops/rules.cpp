#include "ops/rules.h"

#include <ATen/ExpandUtils.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/Resize.h>
#include <c10/core/MemoryFormat.h>

#include "ops/factory.h"

namespace torch_npu::ops {

Spec none() {
  Spec s;
  s.present = false;
  return s;
}

Spec like(const at::Tensor& t) { return like(t, t.scalar_type()); }

Spec like(const at::Tensor& t, ScalarType dtype) {
  Spec s{DimVector(t.sizes()), {}, dtype};
  if (t.is_contiguous()) return s;
  if (t.is_non_overlapping_and_dense()) {
    s.strides = DimVector(t.strides());
  } else {
    s.strides = DimVector(at::infer_dense_strides(t.sizes(), t.strides()));
  }
  return s;
}

Spec shaped(IntArrayRef sizes, ScalarType dtype) { return {DimVector(sizes), {}, dtype}; }

Spec shaped(IntArrayRef sizes, const at::Tensor& dtype_of, at::MemoryFormat format) {
  Spec s = shaped(sizes, dtype_of);
  if (format == at::MemoryFormat::ChannelsLast && sizes.size() == 4) {
    s.strides = DimVector(c10::get_channels_last_strides_2d(sizes));
  } else if (format == at::MemoryFormat::ChannelsLast3d && sizes.size() == 5) {
    s.strides = DimVector(c10::get_channels_last_strides_3d(sizes));
  }
  return s;
}

Spec broadcast(const at::Tensor& a, const at::Tensor& b, ScalarType dtype) {
  return {at::infer_size_dimvector(a.sizes(), b.sizes()), {}, dtype};
}

Spec reduced(const at::Tensor& t, at::OptionalIntArrayRef dims, bool keepdim, ScalarType dtype) {
  Spec s{{}, {}, dtype};
  const bool all = !dims.has_value() || dims->empty();
  c10::SmallVector<bool, 8> drop(t.dim(), all);
  if (!all) {
    for (int64_t d : *dims) {
      const int64_t wrapped = at::maybe_wrap_dim(d, t.dim());
      if (t.dim() == 0) continue;
      TORCH_CHECK(!drop[wrapped], "dim ", wrapped, " appears multiple times in the list of dims");
      drop[wrapped] = true;
    }
  }
  for (int64_t i = 0; i < t.dim(); ++i) {
    if (!drop[i]) s.sizes.push_back(t.size(i));
    else if (keepdim) s.sizes.push_back(1);
  }
  return s;
}

Spec permuted(const at::Tensor& t, IntArrayRef order) {
  Spec s{{}, {}, t.scalar_type()};
  for (int64_t d : order) s.sizes.push_back(t.size(d));
  return s;
}

DimVector with_size(const at::Tensor& t, int64_t dim, int64_t size) {
  DimVector sizes(t.sizes());
  if (!sizes.empty()) sizes[at::maybe_wrap_dim(dim, t.dim())] = size;
  return sizes;
}

DimVector conv_sizes(const at::Tensor& input, const at::Tensor& weight, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef dilation, bool transposed, IntArrayRef output_padding, int64_t groups) {
  const auto at_dim = [](IntArrayRef v, int64_t i, int64_t otherwise) {
    return v.empty() ? otherwise : v.size() == 1 ? v[0] : v[i];
  };
  // at::convolution has checked its arguments; a direct call of convolution_overrideable has not.
  TORCH_CHECK(weight.dim() >= 3, "weight should have at least three dimensions");
  TORCH_CHECK(groups > 0, "non-positive groups is not supported");
  TORCH_CHECK(input.dim() == weight.dim(), "Expected ", weight.dim(), "-dimensional input for ", weight.dim(), "-dimensional weight ", weight.sizes(),
              ", but got ", input.dim(), "-dimensional input of size ", input.sizes(), " instead");
  const auto check_list = [&](const char* name, IntArrayRef v) {
    const auto n = static_cast<size_t>(input.dim() - 2);
    TORCH_CHECK(v.size() <= 1 || v.size() == n, "expected ", name, " to be a single integer value or a list of ", n,
                " values to match the convolution dimensions, but got ", name, "=", v);
  };
  check_list("stride", stride);
  check_list("padding", padding);
  check_list("dilation", dilation);
  check_list("output_padding", output_padding);
  for (int64_t s : stride) TORCH_CHECK(s > 0, "non-positive stride is not supported");
  DimVector out{input.size(0), transposed ? weight.size(1) * groups : weight.size(0)};
  for (int64_t i = 0; i < input.dim() - 2; ++i) {
    const int64_t extent = at_dim(dilation, i, 1) * (weight.size(i + 2) - 1) + 1;
    const int64_t s = at_dim(stride, i, 1), p = at_dim(padding, i, 0);
    out.push_back(transposed ? (input.size(i + 2) - 1) * s - 2 * p + extent + at_dim(output_padding, i, 0)
                             : (input.size(i + 2) + 2 * p - extent) / s + 1);
  }
  return out;
}

ScalarType accumulate_type(ScalarType t) {
  return t == at::kHalf || t == at::kBFloat16 ? at::kFloat : t;
}

ScalarType sum_type(const at::Tensor& t, optional<ScalarType> dtype) {
  if (dtype.has_value()) return *dtype;
  return at::isIntegralType(t.scalar_type(), true) ? at::kLong : t.scalar_type();
}

at::Tensor allocate(const Spec& spec) {
  if (!spec.present) return {};
  return spec.strides.empty() ? empty(spec.sizes, spec.dtype) : empty_strided(spec.sizes, spec.strides, spec.dtype);
}

Given::Given(const at::Tensor& out, const Spec& spec) : out_(out) {
  if (!spec.present || !out.defined()) return;
  TORCH_CHECK(is_npu(out), "Expected out tensor to be on npu, but it is on ", out.device());
  TORCH_CHECK(c10::canCast(spec.dtype, out.scalar_type()), "result type ", spec.dtype,
              " can't be cast to the desired output type ", out.scalar_type());
  at::assert_no_internal_overlap(out);
  at::native::resize_output(out, spec.sizes);
  if (out.scalar_type() != spec.dtype) temporary_ = allocate(spec);
}

void Given::finish() const {
  if (temporary_.defined()) out_.copy_(temporary_);
}

namespace {

void check_result_in_place(const at::Tensor& self, IntArrayRef sizes, ScalarType dtype) {
  TORCH_CHECK(is_npu(self), "Expected self to be on npu, but it is on ", self.device());
  TORCH_CHECK(!self.is_complex() || c10::isComplexType(dtype) || dtype == at::kBool,
              "In-place operators with a real result are not supported for complex tensors.");
  at::assert_no_internal_overlap(self);
  TORCH_CHECK(self.sizes() == sizes, "output with shape ", self.sizes(), " doesn't match the broadcast shape ", sizes);
  TORCH_CHECK(c10::canCast(dtype, self.scalar_type()), "result type ", dtype, " can't be cast to the desired output type ",
              self.scalar_type());
}

}  // namespace

GivenInPlace::GivenInPlace(const at::Tensor& self, const Spec& spec) : self_(self) {
  check_result_in_place(self, spec.sizes, spec.dtype);
  if (self.scalar_type() != spec.dtype) temporary_ = allocate(spec);
}

void GivenInPlace::finish() const {
  if (temporary_.defined()) self_.copy_(temporary_);
}

void store_result(const at::Tensor& out, const at::Tensor& result) {
  // Indices, counts and truth values are of one dtype, also where a conversion would lose nothing.
  TORCH_CHECK(!c10::isIntegralType(result.scalar_type(), /*includeBool=*/true) || out.scalar_type() == result.scalar_type(),
              "Expected out tensor to have dtype ", result.scalar_type(), ", but got ", out.scalar_type(), " instead");
  TORCH_CHECK(c10::canCast(result.scalar_type(), out.scalar_type()), "result type ", result.scalar_type(),
              " can't be cast to the desired output type ", out.scalar_type());
  at::assert_no_internal_overlap(out);
  at::native::resize_output(out, result.sizes());
  out.copy_(result);
}

void store_in_place(const at::Tensor& self, const at::Tensor& result) {
  check_result_in_place(self, result.sizes(), result.scalar_type());
  self.copy_(result);
}

}  // namespace torch_npu::ops
