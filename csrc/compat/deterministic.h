// torch.use_deterministic_algorithms(True) fills fresh memory, from 2.2 on.
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/TensorFactories.h>

namespace torch_compat {

#if TORCH_NPU_TORCH_VERSION < 20200
inline bool fills_fresh_memory() { return false; }
inline void fill_fresh_integers(const at::Tensor&) {}
#else
inline bool fills_fresh_memory() {
  const at::Context& context = at::globalContext();
  return context.deterministicAlgorithms() && context.deterministicFillUninitializedMemory();
}
inline void fill_fresh_integers(at::Tensor& t) { at::native::fill_empty_deterministic_(t); }
#endif

}  // namespace torch_compat
