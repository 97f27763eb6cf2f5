// The generated units' rows.
#pragma once

#include <vector>

#include "softcann/ops/kernels/call.h"

namespace softcann::ops {

const std::vector<RowTable>& row_tables();  // generated: codegen/gen_opapi.py

}  // namespace softcann::ops
