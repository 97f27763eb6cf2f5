// What the rows of fill.yaml use besides the common expressions.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

#include "launch/aclnn.h"

namespace torch_npu::ops {

// A sequence that CANN does not write in out's dtype is written in a wider one and converted.
class Widened {
 public:
  Widened(at::Tensor& out, const launch::AclnnFunction& f, int parameter);
  const at::Tensor& tensor() const { return wide_.defined() ? wide_ : out_; }
  at::Tensor& finish() const;

 private:
  at::Tensor& out_;
  at::Tensor wide_;
};

// The ends of a sequence of integers are integers.
inline at::Scalar whole_for(const at::Tensor& out, const at::Scalar& s) {
  return at::isIntegralType(out.scalar_type(), /*includeBool=*/false) && !s.isIntegral(false) ? at::Scalar(s.toLong()) : s;
}
at::Tensor& complex_linspace(const at::Scalar& start, const at::Scalar& end, int64_t steps, at::Tensor& out);
at::Tensor& logspace_by_pow(const at::Scalar& start, const at::Scalar& end, int64_t steps, double base, at::Tensor& out);

// range()'s size: the end is among the values.
void resize_to_closed_range(const at::Tensor& out, const at::Scalar& start, const at::Scalar& end, const at::Scalar& step);

}  // namespace torch_npu::ops
