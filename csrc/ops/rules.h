// Output rules for operators without a structured meta function: a row's `outputs` are expressions of these.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/DimVector.h>

#include "compat/compat.h"


namespace torch_npu::ops {

using at::IntArrayRef;
using at::ScalarType;
using c10::DimVector;

// Shape and dtype of one output, on the current device.
struct Spec {
  DimVector sizes;
  DimVector strides;  // empty: contiguous
  ScalarType dtype = ScalarType::Undefined;
  bool present = true;
};

Spec none();                                                    // an undefined tensor
Spec like(const at::Tensor& t);                                 // sizes, dtype and (dense) strides of t
Spec like(const at::Tensor& t, ScalarType dtype);
Spec shaped(IntArrayRef sizes, ScalarType dtype);
inline Spec shaped(IntArrayRef sizes, const at::Tensor& dtype_of) { return shaped(sizes, dtype_of.scalar_type()); }
Spec shaped(IntArrayRef sizes, const at::Tensor& dtype_of, at::MemoryFormat format);
inline Spec scalar_like(const at::Tensor& t) { return shaped({}, t.scalar_type()); }

Spec broadcast(const at::Tensor& a, const at::Tensor& b, ScalarType dtype);
Spec reduced(const at::Tensor& t, at::OptionalIntArrayRef dims, bool keepdim, ScalarType dtype);
inline Spec reduced(const at::Tensor& t, int64_t dim, bool keepdim, ScalarType dtype) {
  return reduced(t, at::OptionalIntArrayRef(IntArrayRef(&dim, 1)), keepdim, dtype);
}
Spec permuted(const at::Tensor& t, IntArrayRef order);

// Sizes of t with the size at `dim` replaced.
DimVector with_size(const at::Tensor& t, int64_t dim, int64_t size);

// Convolution and pooling output sizes (PyTorch's formulas, documented at nn.Conv2d and nn.MaxPool2d).
DimVector conv_sizes(const at::Tensor& input, const at::Tensor& weight, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef dilation, bool transposed, IntArrayRef output_padding, int64_t groups);

// float for reduced types and integers: the type statistics are kept in.
ScalarType accumulate_type(ScalarType t);
ScalarType sum_type(const at::Tensor& t, optional<ScalarType> dtype);  // integers sum in int64

at::Tensor allocate(const Spec& spec);

// An `out=` argument: resized to the spec; written through a temporary if its dtype differs.
class Given {
 public:
  Given(const at::Tensor& out, const Spec& spec);
  const at::Tensor& tensor() const { return temporary_.defined() ? temporary_ : out_; }
  void finish() const;

 private:
  const at::Tensor& out_;
  at::Tensor temporary_;
};

// The self of an in-place variant: its size must be the result's.
class GivenInPlace {
 public:
  GivenInPlace(const at::Tensor& self, const Spec& spec);
  const at::Tensor& tensor() const { return temporary_.defined() ? temporary_ : self_; }
  bool direct() const { return !temporary_.defined(); }
  void finish() const;

 private:
  const at::Tensor& self_;
  at::Tensor temporary_;
};

// out= and in-place forms of composed operators.
void store_result(const at::Tensor& out, const at::Tensor& result);
void store_in_place(const at::Tensor& self, const at::Tensor& result);

// For rows without rules for their outputs: what they write into must be here.
inline void check_written(const at::Tensor& t) {
  TORCH_CHECK(!t.defined() || is_npu(t), "Expected a tensor on npu to write into, but it is on ", t.device());
}

}  // namespace torch_npu::ops
