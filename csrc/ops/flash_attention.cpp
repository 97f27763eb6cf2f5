#include "ops/flash_attention.h"

#include <ATen/ops/empty.h>

#include "launch/launch.h"
#include "ops/aclnn_table.h"

namespace torch_npu::ops {

at::Tensor dropout_bits(const at::Tensor& query, int64_t scores, double p, Philox random, const char* op) {
  if (p == 0) return {};
  at::Tensor bits = at::empty({(scores + 127) / 128 * 16}, query.options().dtype(at::kByte));
  launch::Launch l(aclnn::aclnnDropoutGenMaskV2, op);
  l.ints(scores), l.real(p), l.integer(random.seed), l.integer(random.offset), l.integer(query.scalar_type()), l.tensor(bits);
  l.submit();
  return bits;
}

}  // namespace torch_npu::ops
