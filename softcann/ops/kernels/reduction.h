// What rows of reduction.yaml need besides expressions.h.
#pragma once

#include "csrc/compat/all_any.h"
#include "csrc/compat/correction_type.h"
