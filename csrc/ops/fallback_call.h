// A typed kernel hands its call to the CPU fallback, for example for a dtype that CANN documents no support for.
#pragma once

#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "ops/fallback.h"

namespace torch_npu::ops {

template <class Signature>
struct FallbackCall;

template <class R, class... A>
struct FallbackCall<R(A...)> {
  [[gnu::cold, gnu::noinline]] static R call(const char* name, const char* overload, A... args) {
    auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    return c10::impl::BoxedKernelWrapper<R(A...)>::call(
        c10::BoxedKernel::makeFromFunction<&npu_fallback>(), op, c10::DispatchKeySet(), args...);
  }
};

// fallback<Result(Args...)>("aten::add", "Tensor", self, other, alpha)
template <class Signature, class... A>
decltype(auto) fallback(const char* name, const char* overload, A&&... args) {
  return FallbackCall<Signature>::call(name, overload, std::forward<A>(args)...);
}

}  // namespace torch_npu::ops
