// torch_npu._C: what the Python surface needs and torch itself does not offer. Every function turns C++ exceptions into torch's
// Python ones; those that may wait for a device or for the queue release the GIL.
#include <torch/csrc/Generator.h>
#include <torch/csrc/utils/device_lazy_init.h>

#include <tuple>

#include "cann/error.h"
#include "cann/features.h"
#include "cann/loader.h"
#include "cann/version.h"
#include "compat/python.h"
#include "device/event.h"
#include "device/generator.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "device/trace.h"
#include "launch/launch.h"
#include "launch/stacks.h"
#include "ops/fallback.h"
#include "python/bindings.h"

namespace torch_npu {

// Called from within a handler, by torch.AcceleratorError.__new__.
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

namespace {

// ---- runtime ----------------------------------------------------------------------------------------------------------

void init() {
  torch::utils::register_fork_handler_for_device_init(c10::DeviceType::PrivateUse1);
  initialize();
}

// synchronize(device_index), -1 for the current device. A plain C function: pybind11's argument handling would cost more than
// waiting for an idle device does.
PyObject* synchronize(PyObject*, PyObject* device) {
  HANDLE_TH_ERRORS
  const long index = PyLong_AsLong(device);
  if (index == -1 && PyErr_Occurred() != nullptr) throw python_error();
  torch_compat::typed([](c10::DeviceIndex device) {
    if (!is_initialized()) init();
    py::gil_scoped_release no_gil;
    synchronize_device(device);
    tell_ordering(Ordering::synchronize_device, nullptr, default_stream(device));
  })(static_cast<c10::DeviceIndex>(index));
  Py_RETURN_NONE;
  END_HANDLE_TH_ERRORS
}

// The frames of a captured Python stack as Python prints them, the innermost last.
std::string print_stack(const std::shared_ptr<c10::GatheredContext>& stack) {
  auto* captured = dynamic_cast<torch::CapturedTraceback*>(stack.get());
  if (captured == nullptr || Py_IsInitialized() == 0) return {};
  py::gil_scoped_acquire gil;
  std::vector<torch::CapturedTraceback*> one{captured};
  std::string text;
  const py::list frames = torch::py_symbolize(one)[0];
  for (size_t i = frames.size(); i-- > 0;) {
    const py::dict frame = frames[i];
    text += c10::str("  File \"", py::cast<std::string>(frame["filename"]), "\", line ", py::cast<int64_t>(frame["line"]), ", in ",
                     py::cast<std::string>(frame["name"]), "\n");
  }
  return text;
}

// set_ordering_observer(f): f(what, event, device, stream_id) for everything that orders streams; None stops.
PyObject* ordering_callback = nullptr;  // kept for ever: threads may be on their way into it

void tell_python(Ordering what, const void* event, c10::Stream stream) {
  static constexpr const char* kNames[] = {"record", "wait", "synchronize_event", "synchronize_stream", "synchronize_device"};
  py::gil_scoped_acquire gil;
  const py::handle callback(ordering_callback);
  callback(kNames[static_cast<int>(what)], reinterpret_cast<uintptr_t>(event), static_cast<int>(stream.device_index()), stream.id());
}

void set_ordering_observer(const py::object& observer) {
  if (observer.is_none()) {
    ordering_observer() = nullptr;
    return;
  }
  ordering_callback = py::object(observer).release().ptr();
  ordering_observer() = &tell_python;
}

PyMethodDef functions[] = {{"synchronize", &synchronize, METH_O, nullptr}, {nullptr, nullptr, 0, nullptr}};

py::dict executor_stats(c10::DeviceIndex device) {
  const launch::ExecutorCacheStats stats = launch::executor_cache_stats(device);
  py::dict d;
  d["hits"] = stats.hits;
  d["misses"] = stats.misses;
  d["entries"] = stats.entries;
  return d;
}

// torch.Event.elapsed_time() refuses subclasses of torch.Event as its argument.
double elapsed_time(const py::object& begin, const py::object& end) {
  const torch_compat::Event& from = torch_compat::event_of(begin);
  const torch_compat::Event& to = torch_compat::event_of(end);
  py::gil_scoped_release no_gil;
  return from.elapsedTime(to);
}

// CANN's handle of an event by what torch calls event_id, the address of its NPUEvent.
uintptr_t event_handle(uintptr_t event_id) {
  return event_id == 0 ? 0 : reinterpret_cast<uintptr_t>(reinterpret_cast<NPUEvent*>(event_id)->handle());
}

uint64_t recorded_time(const py::object& event) {
  void* made = torch_compat::event_of(event).eventId();
  TORCH_CHECK_VALUE(made != nullptr, "The event must be recorded before its time can be asked for.");
  py::gil_scoped_release no_gil;
  return static_cast<NPUEvent*>(made)->recorded_time();
}

void reset_event(const py::object& event) {
  void* made = torch_compat::event_of(event).eventId();
  py::gil_scoped_release no_gil;
  if (made != nullptr) static_cast<NPUEvent*>(made)->reset();
}

std::string describe(const DeviceProperties& p) {
  return c10::str("NPUDeviceProperties(name='", p.name, "', total_memory=", p.total_memory >> 20, " MiB, cube_core_num=", p.cube_core_num,
                  ", vector_core_num=", p.vector_core_num, ", L2_cache_size=", p.l2_cache_size >> 20, " MiB, uuid='", p.uuid, "')");
}

// Not through at::globalContext(), which would start the runtime: the generator lives on the host.
py::object default_generator(int device) {
  const at::Generator& generator = torch_npu::default_generator(static_cast<c10::DeviceIndex>(device));
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

// What this CANN lacks: features as (what, why), functions of operators as (name, since). For the doctor; opens the operator
// libraries, starts no device.
py::dict lacks() {
  py::list features, functions;
  for (const cann::Lack& lack : cann::lacking_features()) features.append(py::make_tuple(lack.feature, lack.reason));
  for (const launch::AclnnFunction* f : launch::missing_functions()) functions.append(py::make_tuple(f->name, f->since));
  py::dict d;
  d["features"] = features;
  d["functions"] = functions;
  d["of"] = launch::all_functions().count;
  return d;
}

void bind_runtime(py::module_& m) {
  py::class_<DeviceProperties>(m, "NPUDeviceProperties")
      .def_readonly("name", &DeviceProperties::name)
      .def_readonly("soc_name", &DeviceProperties::soc_name)
      .def_readonly("total_memory", &DeviceProperties::total_memory)
      .def_readonly("cube_core_num", &DeviceProperties::cube_core_num)
      .def_readonly("vector_core_num", &DeviceProperties::vector_core_num)
      .def_readonly("L2_cache_size", &DeviceProperties::l2_cache_size)
      .def_readonly("uuid", &DeviceProperties::uuid)
      .def_readonly("supports_bfloat16", &DeviceProperties::supports_bfloat16)
      .def("__repr__", &describe);
  launch::set_stack_functions({[]() -> std::shared_ptr<c10::GatheredContext> { return torch::CapturedTraceback::gather(true, false, false); }, &print_stack});
  torch::installCapturedTracebackPython();
  PyModule_AddFunctions(m.ptr(), functions);
  m.def("set_ordering_observer", wrapped(&set_ordering_observer));
  m.def("executor_stats", wrapped(&executor_stats));
  m.def("external_stream", without_gil([](uintptr_t handle, c10::DeviceIndex device) {
          return external_stream(reinterpret_cast<aclrtStream>(handle), device).id();
        }));
  m.def("device_count", [] { return static_cast<int>(device_count()); });
  m.def("unavailable_reason", without_gil(&unavailable_reason));
  m.def("installation", wrapped(&installation));
  m.def("lacks", wrapped(&lacks));
  m.def("init", without_gil(&init));
  m.def("is_initialized", &is_initialized);
  m.def("is_in_bad_fork", &is_in_bad_fork);
  m.def("current_error", &current_error);
  m.def("device_properties", without_gil([](c10::DeviceIndex device) { return device_properties(device); }));
  m.def("can_device_access_peer", without_gil(&can_access_peer));
  m.def("default_generator", wrapped(&default_generator));
  m.def("default_stream", without_gil([](c10::DeviceIndex device) { return default_stream(device).id(); }));
  m.def("stream_priority", without_gil([](int64_t id, int device) { return stream_priority(stream_of(id, device)); }));
  m.def("elapsed_time", wrapped(&elapsed_time));
  m.def("recorded_time", wrapped(&recorded_time));
  m.def("reset_event", wrapped(&reset_event));
  m.def("event_handle", without_gil(&event_handle));
  m.def("stream_priority_range", without_gil(&stream_priority_range));
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
  torch_npu::bind_control(m);
  torch_npu::bind_memory(m);
  torch_npu::bind_sharing(m);
  torch_npu::bind_fallbacks(m);
  torch_compat::bind(m);
}
