// torch_npu._C: what the Python surface needs and torch itself does not offer. Every function turns C++ exceptions into torch's
// Python ones; those that may wait for a device or for the queue release the GIL.
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/Generator.h>
#include <torch/csrc/utils/device_lazy_init.h>
#include <torch/csrc/utils/pybind.h>

#include <tuple>

#include "cann/error.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "launch/queue.h"
#include "memory/allocators.h"
#include "memory/settings.h"
#include "ops/fallback.h"

namespace py = pybind11;

namespace torch_npu {
namespace {

template <class F>
auto wrapped(F f) {
  return torch::wrap_pybind_function(f);
}

template <class F>
auto without_gil(F f) {
  return torch::wrap_pybind_function_no_gil(f);
}

// The C++ exception that is being turned into a Python one right now, as a dict, or None if it is not an NPUError: called by
// torch.AcceleratorError.__new__ from within the handler.
py::object current_error() {
  const std::exception_ptr raised = std::current_exception();
  if (raised == nullptr) return py::none();
  const auto as_dict = [](const char* cls, const NPUError& e) {
    const cann::ErrorInfo info = cann::describe(e.code());
    py::dict d;
    d["class"] = cls;
    d["code"] = e.code();
    d["name"] = e.code() == 0 ? "" : info.name;
    d["cause"] = e.code() == 0 ? "" : info.cause;
    d["hint"] = e.code() == 0 ? "" : info.hint;
    return d;
  };
  try {
    std::rethrow_exception(raised);
  } catch (const NPUTimeoutError& e) {
    return as_dict("NPUTimeoutError", e);
  } catch (const NPUInvalidArgumentError& e) {
    return as_dict("NPUInvalidArgumentError", e);
  } catch (const NPUNotSupportedError& e) {
    return as_dict("NPUNotSupportedError", e);
  } catch (const NPUDeviceLostError& e) {
    return as_dict("NPUDeviceLostError", e);
  } catch (const NPUUnavailableError& e) {
    return as_dict("NPUUnavailableError", e);
  } catch (const NPUError& e) {
    return as_dict("NPUError", e);
  } catch (...) {
    return py::none();
  }
}

// ---- runtime ----------------------------------------------------------------------------------------------------------

void init() {
  torch::utils::register_fork_handler_for_device_init(c10::DeviceType::PrivateUse1);
  initialize();
}

// Not through at::globalContext(), which would start the runtime: the generator lives on the host.
py::object default_generator(int device) {
  const at::Generator& generator =
      at::detail::getPrivateUse1Hooks().getDefaultGenerator(static_cast<c10::DeviceIndex>(device));
  return py::reinterpret_steal<py::object>(THPGenerator_Wrap(generator));
}

void bind_runtime(py::module_& m) {
  m.def("device_count", [] { return static_cast<int>(device_count()); });
  m.def("unavailable_reason", wrapped([]() -> py::object {
          const std::string reason = unavailable_reason();
          return reason.empty() ? py::none() : py::object(py::str(reason));
        }));
  m.def("init", without_gil(&init));
  m.def("is_initialized", &is_initialized);
  m.def("is_in_bad_fork", [] { return torch::utils::is_device_in_bad_fork(c10::DeviceType::PrivateUse1); });
  m.def("shutdown", &launch::shutdown, py::call_guard<py::gil_scoped_release>());
  m.def("current_error", &current_error);
  m.def("default_generator", wrapped(&default_generator));
  m.def("default_stream", without_gil([](int device) {
          const c10::StreamData3 s = default_stream(static_cast<c10::DeviceIndex>(device)).pack3();
          return std::make_tuple(s.stream_id, static_cast<int>(s.device_index), static_cast<int>(s.device_type));
        }));
}

// ---- memory -----------------------------------------------------------------------------------------------------------

void bind_memory(py::module_& m) {
  m.def("raw_alloc", without_gil([](size_t bytes) {
          return reinterpret_cast<uintptr_t>(device_allocator()->raw_allocate(bytes));
        }));
  m.def("raw_delete", without_gil([](uintptr_t address) {
          device_allocator()->raw_deallocate(reinterpret_cast<void*>(address));
        }));
  m.def("set_allocator_settings", without_gil(&memory::set_allocator_settings));
}

// ---- fallbacks --------------------------------------------------------------------------------------------------------

void bind_fallbacks(py::module_& m) {
  m.def("fallbacks", [] {
    std::vector<std::tuple<std::string, uint64_t, uint64_t>> rows;
    for (ops::FallbackCount& f : ops::fallback_counts()) rows.emplace_back(std::move(f.op), f.calls, f.bytes);
    return rows;
  });
  m.def("reset_fallbacks", &ops::reset_fallback_counts);
}

}  // namespace
}  // namespace torch_npu

PYBIND11_MODULE(_C, m) {
  m.doc() = "Bindings of torch_npu; use torch.npu and torch_npu instead.";
  torch_npu::bind_runtime(m);
  torch_npu::bind_memory(m);
  torch_npu::bind_fallbacks(m);
}
