// Helpers of foreach.yaml's rows.
#include "ops/foreach.h"

#include <ATen/native/ForeachUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cmath>

namespace torch_npu::ops {

bool foreach_fused(std::initializer_list<at::TensorList> lists, at::ArrayRef<at::Scalar> scalars) {
  const at::TensorList first = *lists.begin();
  if (first.empty() || !is_npu(first[0])) return false;
  for (const at::TensorList list : lists) {
    if (list.size() != first.size()) return false;
  }
  if (scalars.size() > 1 && scalars.size() != first.size()) return false;
  // Some operators refuse bool numbers; ATen's loop knows which.
  if (std::any_of(scalars.begin(), scalars.end(), [](const at::Scalar& s) { return s.isBoolean(); })) return false;
  return at::native::can_use_fast_route({lists.begin(), lists.size()}, scalars);
}

bool foreach_documented(const launch::AclnnFunction& f, int parameter, at::TensorList list) {
  return launch::dtype_documented(f, parameter, list[0].scalar_type());
}

at::Scalar foreach_scalar(const at::Scalar& scalar, at::TensorList like) {
  if (like[0].is_floating_point()) return scalar.toDouble();
  return scalar.toLong();
}

std::vector<at::Scalar> foreach_scalars(at::ArrayRef<at::Scalar> scalars, at::TensorList like) {
  std::vector<at::Scalar> out;
  out.reserve(scalars.size());
  for (const at::Scalar& s : scalars) out.push_back(foreach_scalar(s, like));
  return out;
}

at::Tensor scalar_tensor_for(at::ArrayRef<at::Scalar> scalars, at::TensorList like) {
  at::Tensor host = at::empty({static_cast<int64_t>(scalars.size())}, at::kDouble);
  double* values = host.data_ptr<double>();
  for (const at::Scalar& s : scalars) *values++ = s.toDouble();
  return host.to(like[0].options());
}

bool norm_is_fused(at::TensorList self, const at::Scalar& ord, optional<at::ScalarType> dtype) {
  if (dtype.has_value() || ord.isComplex()) return false;
  const double p = ord.toDouble();
  if (p != 1 && p != 2 && p != HUGE_VAL) return false;
  return std::all_of(self.begin(), self.end(), [](const at::Tensor& t) { return t.numel() != 0; });
}

std::vector<at::Tensor> like_each(at::TensorList list) {
  std::vector<at::Tensor> out;
  out.reserve(list.size());
  for (const at::Tensor& t : list) out.push_back(at::empty_like(t));
  return out;
}

std::vector<at::Tensor> scalar_like_each(at::TensorList list) {
  std::vector<at::Tensor> out;
  out.reserve(list.size());
  for (const at::Tensor& t : list) out.push_back(at::empty({}, t.options()));
  return out;
}

}  // namespace torch_npu::ops
