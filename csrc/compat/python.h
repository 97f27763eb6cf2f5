// What the bindings need besides.
#pragma once

#include <c10/util/Metaprogramming.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

#include "compat/interfaces.h"

#if TORCH_NPU_TORCH_VERSION >= 20300
#include <torch/csrc/Event.h>
#endif

namespace torch_compat {

// The C++ event of a Python one.
inline Event& event_of(const pybind11::handle& object) {
#if TORCH_NPU_TORCH_VERSION < 20300
  // torch had no class for events: torch_npu/_compat.py has one.
  const bool is_event = pybind11::hasattr(object, "_event") && pybind11::isinstance<Event>(object.attr("_event"));
#else
  const bool is_event = THPEvent_Check(object.ptr());
#endif
  TORCH_CHECK_TYPE(is_event, "Expected a torch.npu.Event, got ", Py_TYPE(object.ptr())->tp_name);
#if TORCH_NPU_TORCH_VERSION < 20300
  return object.attr("_event").cast<Event&>();
#else
  return reinterpret_cast<THPEvent*>(object.ptr())->event;
#endif
}

// A function of the bindings whose errors are of torch_npu's Python classes.
#if TORCH_NPU_TORCH_VERSION < 20900
[[noreturn]] void raise_typed(const c10::AcceleratorError& e);  // from within the handler of `e`

template <class F, class... A>
auto typed(F f, const c10::guts::typelist::typelist<A...>*) {
  return [f](A... arguments) -> decltype(f(std::forward<A>(arguments)...)) {
    try {
      return f(std::forward<A>(arguments)...);
    } catch (const c10::AcceleratorError& e) {
      raise_typed(e);
    }
  };
}
template <class F>
auto typed(F f) {
  return typed(f, static_cast<const typename c10::guts::infer_function_traits_t<F>::parameter_types*>(nullptr));
}
#else
template <class F>
F typed(F f) {
  return f;
}
#endif

// Adds what torch_npu/_compat.py needs to the bindings.
#if TORCH_NPU_TORCH_VERSION < 20300
void bind(pybind11::module_& m);
#else
inline void bind(pybind11::module_&) {}
#endif

}  // namespace torch_compat
