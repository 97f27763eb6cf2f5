// torch_npu._C: what the Python surface needs and torch itself does not offer. Every function turns C++ exceptions into torch's
// Python ones; those that may wait for a device or for the queue release the GIL.
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <torch/csrc/Event.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/Generator.h>
#include <torch/csrc/utils/device_lazy_init.h>
#include <torch/csrc/utils/pybind.h>

#include <tuple>

#include "cann/error.h"
#include "cann/loader.h"
#include "cann/version.h"
#include "device/event.h"
#include "device/runtime.h"
#include "device/stream.h"
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

c10::Stream stream(int64_t id, int device) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(device)), id);
}

// torch.Event.elapsed_time() refuses subclasses of torch.Event as its argument.
double elapsed_time(const py::object& begin, const py::object& end) {
  TORCH_CHECK_TYPE(THPEvent_Check(begin.ptr()) && THPEvent_Check(end.ptr()), "elapsed_time takes a torch.npu.Event, got ",
                   Py_TYPE(end.ptr())->tp_name);
  const c10::Event& from = reinterpret_cast<THPEvent*>(begin.ptr())->event;
  const c10::Event& to = reinterpret_cast<THPEvent*>(end.ptr())->event;
  py::gil_scoped_release no_gil;
  return from.elapsedTime(to);
}

// CANN's handle of an event by what torch calls event_id, the address of its NPUEvent.
uintptr_t event_handle(uintptr_t event_id) {
  return event_id == 0 ? 0 : reinterpret_cast<uintptr_t>(reinterpret_cast<NPUEvent*>(event_id)->handle());
}

std::string describe(const DeviceProperties& p) {
  return c10::str("NPUDeviceProperties(name='", p.name, "', total_memory=", p.total_memory >> 20, " MiB, cube_core_num=", p.cube_core_num,
                  ", vector_core_num=", p.vector_core_num, ", L2_cache_size=", p.l2_cache_size >> 20, " MiB, uuid='", p.uuid, "')");
}

// Not through at::globalContext(), which would start the runtime: the generator lives on the host.
py::object default_generator(int device) {
  const at::Generator& generator =
      at::detail::getPrivateUse1Hooks().getDefaultGenerator(static_cast<c10::DeviceIndex>(device));
  return py::reinterpret_steal<py::object>(THPGenerator_Wrap(generator));
}

// Which CANN is used, for the doctor. Opens its runtime library, starts no device.
py::dict installation() {
  const cann::Installation& used = cann::installation();
  py::dict d;
  d["backend"] = used.backend == cann::Backend::softcann ? "softcann" : "cann";
  d["reason"] = used.reason;
  d["home"] = used.home;
  d["problem"] = used.problem;
  d["softcann"] = used.softcann;
  d["version"] = used.problem.empty() ? cann::version().text : "";
  return d;
}

void bind_runtime(py::module_& m) {
  py::class_<DeviceProperties>(m, "NPUDeviceProperties")
      .def_readonly("name", &DeviceProperties::name)
      .def_readonly("total_memory", &DeviceProperties::total_memory)
      .def_readonly("cube_core_num", &DeviceProperties::cube_core_num)
      .def_readonly("vector_core_num", &DeviceProperties::vector_core_num)
      .def_readonly("L2_cache_size", &DeviceProperties::l2_cache_size)
      .def_readonly("uuid", &DeviceProperties::uuid)
      .def_readonly("supports_bfloat16", &DeviceProperties::supports_bfloat16)
      .def("__repr__", &describe);
  m.def("device_count", [] { return static_cast<int>(device_count()); });
  m.def("unavailable_reason", without_gil(&unavailable_reason));
  m.def("installation", wrapped(&installation));
  m.def("init", without_gil(&init));
  m.def("is_initialized", &is_initialized);
  m.def("is_in_bad_fork", &is_in_bad_fork);
  m.def("current_error", &current_error);
  m.def("device_properties", without_gil([](c10::DeviceIndex device) { return device_properties(device); }));
  m.def("can_device_access_peer", without_gil(&can_access_peer));
  m.def("default_generator", wrapped(&default_generator));
  m.def("default_stream", without_gil([](c10::DeviceIndex device) { return default_stream(device).id(); }));
  m.def("stream_priority", without_gil([](int64_t id, int device) { return stream_priority(stream(id, device)); }));
  m.def("elapsed_time", wrapped(&elapsed_time));
  m.def("event_handle", without_gil(&event_handle));
  m.def("stream_priority_range", without_gil(&stream_priority_range));
}

// ---- memory -----------------------------------------------------------------------------------------------------------

py::list segments() {
  py::list result;
  for (const auto& segment : memory_snapshot().segments) {
    py::dict d;
    d["device"] = static_cast<int>(segment.device);
    d["address"] = segment.address;
    d["total_size"] = segment.total_size;
    d["allocated_size"] = segment.allocated_size;
    d["active_size"] = segment.active_size;
    d["requested_size"] = segment.requested_size;
    d["stream"] = reinterpret_cast<uintptr_t>(segment.stream);
    d["segment_type"] = segment.is_large ? "large" : "small";
    d["segment_pool_id"] = std::make_tuple(segment.owner_private_pool_id.first, segment.owner_private_pool_id.second);
    d["is_expandable"] = segment.is_expandable;
    py::list blocks;
    size_t address = segment.address;
    for (const auto& block : segment.blocks) {
      py::dict b;
      b["address"] = address;
      address += block.size;
      b["size"] = block.size;
      b["requested_size"] = block.requested_size;
      b["state"] = block.allocated ? "active_allocated" : block.active ? "active_pending_free" : "inactive";
      blocks.append(b);
    }
    d["blocks"] = blocks;
    result.append(d);
  }
  return result;
}

void bind_memory(py::module_& m) {
  m.def("raw_alloc", without_gil([](size_t bytes) { return reinterpret_cast<uintptr_t>(raw_alloc(bytes)); }));
  m.def("raw_delete", without_gil([](uintptr_t address) { raw_delete(reinterpret_cast<void*>(address)); }));
  m.def("set_memory_fraction", without_gil(&set_memory_fraction));
  m.def("memory_fraction", without_gil(&memory_fraction));
  m.def("set_allocator_settings", without_gil(&memory::set_allocator_settings));
  m.def("memory_snapshot", wrapped(&segments));
}

// ---- fallbacks --------------------------------------------------------------------------------------------------------

// Operators are also called where torch turns C++ warnings into log lines (torch.ops): this one always is a Python warning.
void warn(const std::string& text) {
  py::gil_scoped_acquire gil;
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) == 0) return;
  python_error raised;  // the user's filter makes warnings errors
  raised.persist();
  throw std::move(raised);
}

void bind_fallbacks(py::module_& m) {
  ops::set_fallback_warner(&warn);
  m.def("fallbacks", [] {
    std::vector<std::tuple<std::string, uint64_t, uint64_t, std::string>> rows;
    for (ops::FallbackCount& f : ops::fallback_counts()) rows.emplace_back(std::move(f.op), f.calls, f.bytes, std::move(f.reason));
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
