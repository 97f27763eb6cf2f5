// What every generated operator unit sees. Precompiled; keep it light.
#pragma once

#include <ATen/TensorMeta.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "launch/launch.h"
#include "ops/aclnn_table.h"
#include "ops/common.h"
#include "ops/expressions.h"
#include "ops/fallback_call.h"
#include "ops/pointwise_expressions.h"
#include "ops/random_expressions.h"
#include "ops/rules.h"
#include "ops/special.h"
#include "ops/structured.h"

namespace torch_npu::ops {
using launch::Launch;
}
