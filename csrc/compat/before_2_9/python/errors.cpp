// Errors of the bindings as torch_npu's classes. What torch's own functions raise stays a RuntimeError: their handlers know c10::Error
// and fixed classes besides, and look up none of Python's.
#include "compat/python.h"
#include "python/bindings.h"

namespace torch_compat {

void raise_typed(const c10::AcceleratorError& e) {
  pybind11::gil_scoped_acquire gil;
  const char* text = torch::get_cpp_stacktraces_enabled() ? e.what() : e.what_without_backtrace();
  const pybind11::object made =
      pybind11::module_::import("torch_npu._compat").attr("error_of")(torch_npu::current_error(), torch::processErrorMsg(text));
  PyErr_SetObject(pybind11::type::handle_of(made).ptr(), made.ptr());
  throw pybind11::error_already_set();
}

}  // namespace torch_compat
