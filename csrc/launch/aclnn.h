// What the launcher knows of one aclnn function: generated from abi/aclnn.csv into aclnn_table.cpp for the functions that
// operator rows name.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/macros/Macros.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cann/export.h"

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
  const char* since;               // as SymbolBase::since()
  mutable std::atomic<void*> phase1{nullptr};
  mutable std::atomic<void*> phase2{nullptr};  // set after phase1
  mutable std::atomic<bool> absent{false};     // looked for in vain
};

bool find(const AclnnFunction& f) noexcept;

// Whether the CANN in use has the function. True also where no CANN can be used: the call then says what is wrong.
inline bool found(const AclnnFunction& f) noexcept {
  return C10_LIKELY(f.phase2.load(std::memory_order_relaxed) != nullptr) || find(f);
}

// All functions that the adapter's operators call.
struct AclnnFunctions {
  const AclnnFunction* const* first;
  size_t count;
};
TORCH_NPU_API AclnnFunctions all_functions();

inline bool dtype_documented(const AclnnFunction& f, int parameter, c10::ScalarType dtype) {
  const uint64_t mask = f.dtypes[parameter];
  return mask == 0 || (mask >> static_cast<int>(dtype)) & 1;
}

}  // namespace torch_npu::launch
