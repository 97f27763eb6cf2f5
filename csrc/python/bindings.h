// What the files of torch_npu._C share.
#pragma once

#include <c10/core/Stream.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/profiler/combined_traceback.h>
#include <torch/csrc/utils/pybind.h>

#include <vector>

#include "compat/python.h"

// Of torch/csrc/profiler/python/combined_traceback.h, which needs a JSON library that torch does not ship.
namespace torch {
std::vector<pybind11::object> py_symbolize(std::vector<CapturedTraceback*>& to_symbolize);
void installCapturedTracebackPython();
}  // namespace torch

namespace torch_npu {

namespace py = pybind11;

// Turns C++ exceptions into torch's Python ones.
template <class F>
auto wrapped(F f) {
  return torch::wrap_pybind_function(torch_compat::typed(f));
}

// The same, for what may wait for a device or for the queue.
template <class F>
auto without_gil(F f) {
  return torch::wrap_pybind_function_no_gil(torch_compat::typed(f));
}

// The stream that Python knows by these two.
inline c10::Stream stream_of(int64_t id, int device) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(device)), id);
}

// The C++ exception that is being turned into a Python one right now, as a dict, or None if it is not an NPUError.
py::object current_error();

void bind_control(py::module_& m);
void bind_memory(py::module_& m);
void bind_sharing(py::module_& m);

}  // namespace torch_npu
