// What the bindings need besides.
#pragma once

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

// Adds what torch_npu/_compat.py needs to the bindings.
#if TORCH_NPU_TORCH_VERSION < 20300
void bind(pybind11::module_& m);
#else
inline void bind(pybind11::module_&) {}
#endif

}  // namespace torch_compat
