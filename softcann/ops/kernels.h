// Between libopapi.so, which knows nothing of torch, and libsoftcann_kernels.so, which computes with torch's CPU kernels.
#pragma once

#include "softcann/ops/op_desc.h"

namespace softcann::ops {

struct Kernels {
  uint64_t torch_version;  // that it was built for, as aoti_torch_abi_version() spells it
  // The operator's row, or nullptr.
  const void* (*find)(const char* op);
  // Turns arguments into ATen's and checks their shapes where that is cheap. Sets executor.kernel. 0 or an aclnn code after fail().
  int (*bind)(const void* row, const OpDesc& op, const Slot* arguments, aclOpExecutor& executor);
  // Computes, on the stream's thread. 0 or an ACL code after fail().
  int (*run)(void* kernel, const nnop::TensorArgument* tensors, void* const* aliases);
  void (*release)(void* kernel);
};

// The library's only exported symbol.
using KernelsFunction = const Kernels* (*)();
constexpr const char* kKernelsSymbol = "softcann_kernels";

// nullptr after fail(): not there, or built for another torch.
const Kernels* kernels();

}  // namespace softcann::ops
