// Operators without a formula for their gradient: torch had no fallback for autograd of this device.
#include <torch/library.h>

#if TORCH_NPU_TORCH_VERSION >= 20100
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#endif

TORCH_LIBRARY_IMPL(_, AutogradPrivateUse1, m) {
#if TORCH_NPU_TORCH_VERSION >= 20100
  m.fallback(torch::autograd::basicAutogradNotImplementedFallback());
#else
  m.fallback(torch::CppFunction::makeFallthrough());
#endif
}
