#include "softcann/ops/kernels/linear.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/linalg_cholesky_ex.h>

#include <limits>

namespace softcann::ops {

at::Tensor cholesky(const at::Tensor& self, bool upper) {
  auto [factor, info] = at::linalg_cholesky_ex(self.scalar_type() == at::kBFloat16 ? self.to(at::kFloat) : self, upper);
  if (info.numel() == 0) return factor;
  const at::Tensor columns = at::arange(1, self.size(-1) + 1, info.options());
  const at::Tensor failed = info.unsqueeze(-1).gt(0).logical_and(columns.ge(info.unsqueeze(-1)));
  return factor.masked_fill(failed.unsqueeze(upper ? -1 : -2), std::numeric_limits<double>::quiet_NaN());
}

}  // namespace softcann::ops
