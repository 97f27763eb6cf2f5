// For operators of the namespace npu that have derivatives of their own: their autograd functions call back into the dispatcher.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace torch_npu::ops {

// The operator of this name, such as "npu::npu_geglu", with the signature of its kernel.
template <class Signature>
auto operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace torch_npu::ops
