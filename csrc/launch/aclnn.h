// What the launcher knows of one aclnn function: generated from abi/aclnn.csv into aclnn_table.cpp for the functions that
// operator rows name.
#pragma once

#include <c10/core/ScalarType.h>

#include <atomic>
#include <cstdint>

struct aclOpExecutor;

namespace torch_npu::launch {

// One argument as phase 1 takes it: pointers for everything aclXxx*, integers widened, floats as double.
union ArgValue {
  void* pointer;
  int64_t integer;
  double real;
};

// Calls `phase1` with the C types that `kinds` stands for (codegen/abi_model.py, Parameter.KINDS).
using Invoke = int (*)(void* phase1, const ArgValue* args, uint64_t* workspace_size, aclOpExecutor** executor);

struct AclnnFunction {
  const char* name;                // "aclnnAdd"
  const char* kinds;               // one letter per parameter
  const char* const* parameters;   // names
  const uint64_t* dtypes;          // per parameter: bit (1 << ScalarType) if documented; 0 = nothing documented
  const char* outputs;             // per parameter: 'i' input, 'o' output, 'b' both
  Invoke invoke;
  bool cacheable;                  // false where arguments change on every call (seeds)
  mutable std::atomic<void*> phase1{nullptr};
  mutable std::atomic<void*> phase2{nullptr};
};

inline bool dtype_documented(const AclnnFunction& f, int parameter, c10::ScalarType dtype) {
  const uint64_t mask = f.dtypes[parameter];
  return mask == 0 || (mask >> static_cast<int>(dtype)) & 1;
}

}  // namespace torch_npu::launch
