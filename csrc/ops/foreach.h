// Operators on lists: when one aclnn call serves a list, and how lists are cut for it. Rows of foreach.yaml use these.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "compat/compat.h"
#include "ops/common.h"

namespace torch_npu::ops {

// Lists (and scalars) for which a fused call computes what ATen's loop over the elements does: equal dtypes, devices, shapes and
// dense strides, no type promotion. Everything else, wrong arguments included, takes ATen's loop, which consists of native operators.
bool foreach_fused(std::initializer_list<at::TensorList> lists, at::ArrayRef<at::Scalar> scalars = {});
inline bool foreach_fused(std::initializer_list<at::TensorList> lists, const at::Scalar& scalar) {
  return foreach_fused(lists, at::ArrayRef<at::Scalar>(scalar));
}
bool foreach_documented(const launch::AclnnFunction& f, int parameter, at::TensorList list);

// Scalars in the kind of the tensors' dtype: CANN documents double for floating tensors, int64 for integers.
at::Scalar foreach_scalar(const at::Scalar& scalar, at::TensorList like);
std::vector<at::Scalar> foreach_scalars(at::ArrayRef<at::Scalar> scalars, at::TensorList like);
// Scalars as a device tensor of the lists' dtype.
at::Tensor scalar_tensor_for(at::ArrayRef<at::Scalar> scalars, at::TensorList like);
inline at::Tensor scalar_tensor_for(const at::Tensor& scalars, at::TensorList like) { return scalars.to(like[0].options()); }

inline bool floating(at::TensorList list) { return list[0].is_floating_point(); }
inline bool single_precision(at::TensorList list) { return list[0].scalar_type() == at::kFloat; }
bool norm_is_fused(at::TensorList self, const at::Scalar& ord, optional<at::ScalarType> dtype);

std::vector<at::Tensor> like_each(at::TensorList list);
std::vector<at::Tensor> scalar_like_each(at::TensorList list);

// A stretch of lists short enough for one call: CANN's kernels take this many tensors in all lists of a call together.
class ForeachPart {
 public:
  static constexpr size_t kTensors = 48;
  ForeachPart(size_t size, size_t lists) : size_(size), step_(std::max<size_t>(1, kTensors / lists)) {}
  bool more() const { return start_ < size_; }
  void next() { start_ += step_; }
  at::TensorList operator()(at::TensorList list) const { return list.slice(start_, count()); }
  at::ArrayRef<at::Scalar> operator()(at::ArrayRef<at::Scalar> list) const { return list.slice(start_, count()); }
  at::Tensor operator()(const at::Tensor& t) const { return t.narrow(0, start_, count()); }

 private:
  size_t count() const { return std::min(step_, size_ - start_); }
  size_t start_ = 0, size_, step_;
};

}  // namespace torch_npu::ops
