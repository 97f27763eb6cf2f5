// What every generated operator entry calls.
#pragma once

#include "softcann/ops/op_desc.h"

namespace softcann::ops {

aclnnStatus phase1(const OpDesc& op, const Slot* arguments, uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus phase2(const OpDesc& op, void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream);

}  // namespace softcann::ops
