#include "softcann/ops/kernels/optimizer.h"

#include <cmath>

namespace softcann::ops {
namespace {

void one_element(const char* name, const at::Tensor& t) {
  TORCH_CHECK_VALUE(t.numel() == 1, name, " has ", t.numel(), " elements; 1 is needed");
}

}  // namespace

void unscale(at::TensorList grads, const at::Tensor& found_inf, const at::Tensor& inv_scale) {
  one_element("foundInf", found_inf);
  one_element("invScale", inv_scale);
  const double factor = inv_scale.item<double>();
  for (const at::Tensor& grad : grads) {
    if (!grad.isfinite().all().item<bool>()) found_inf.fill_(1);
    if (factor != 1) grad.mul_(factor);
  }
}

void update_scale(const at::Tensor& scale, const at::Tensor& tracker, const at::Tensor& found_inf, double growth, double backoff,
                  int64_t interval) {
  one_element("currentScale", scale);
  one_element("growthTracker", tracker);
  one_element("foundInf", found_inf);
  if (found_inf.item<double>() != 0) {
    scale.mul_(backoff);
    tracker.fill_(0);
    return;
  }
  const int64_t steps = tracker.item<int64_t>() + 1;
  tracker.fill_(steps == interval ? 0 : steps);
  if (steps != interval) return;
  const at::Tensor grown = scale.mul(growth);
  if (std::isfinite(grown.item<double>())) scale.copy_(grown);
}

}  // namespace softcann::ops
