// Bindings of what programs set and ask about devices, streams and launches, and of external events and host functions.
#include "device/control.h"

#include <memory>

#include "cann/cann.h"
#include "cann/version.h"
#include "device/external_event.h"
#include "device/host_function.h"
#include "device/stream.h"
#include "device/sync_debug.h"
#include "device/trace.h"
#include "launch/queue.h"
#include "ops/cube_math.h"
#include "python/bindings.h"

namespace torch_npu {
namespace {

// ---- host functions ------------------------------------------------------------------------------------------------------

struct HostFunction {
  py::object function, argument;
};

void run_host_function(void* p) {
  if (Py_IsInitialized() == 0) return;  // too late for Python
  py::gil_scoped_acquire gil;
  const std::unique_ptr<HostFunction> call(static_cast<HostFunction*>(p));
  try {
    call->function(call->argument);
  } catch (py::error_already_set& e) {
    e.discard_as_unraisable("torch.npu._launch_host_func");
  }
}

void launch_python_function(int64_t id, int device, const py::object& function, const py::object& argument) {
  auto call = std::make_unique<HostFunction>(HostFunction{function, argument});
  {
    py::gil_scoped_release no_gil;
    launch_host_function(stream_of(id, device), &run_host_function, call.get());
  }
  call.release();  // NOLINT: run_host_function's
}

// ---- external events -----------------------------------------------------------------------------------------------------

void bind_external_event(py::module_& m) {
  py::class_<ExternalEvent>(m, "ExternalEvent")
      .def(py::init<>())
      .def("device_index", [](const ExternalEvent& e) { return static_cast<int>(e.device_index()); })
      .def("record", without_gil([](ExternalEvent& e, int64_t id, int device) {
             e.record(stream_of(id, device));
             tell_ordering(Ordering::record, &e, stream_of(id, device));
           }))
      .def("wait", without_gil([](ExternalEvent& e, int64_t id, int device) {
             e.wait(stream_of(id, device));
             tell_ordering(Ordering::wait, &e, stream_of(id, device));
           }))
      .def("reset", without_gil([](ExternalEvent& e, int64_t id, int device) { e.reset(stream_of(id, device)); }))
      .def("query", without_gil([](const ExternalEvent& e) { return e.query(); }))
      .def("synchronize", without_gil([](const ExternalEvent& e) {
             e.synchronize();
             tell_ordering(Ordering::synchronize_event, &e, default_stream(e.device_index()));
           }));
}

// ---- versions ------------------------------------------------------------------------------------------------------------

// What CANN says about one of its packages; "" if it does not know it, or cannot be asked.
std::string package_version(int package) {
  aclCANNPackageVersion answer{};
  if (!cann::aclsysGetCANNVersion.available() || cann::aclsysGetCANNVersion(static_cast<aclCANNPackageName>(package), &answer) != 0) return {};
  answer.version[sizeof answer.version - 1] = '\0';
  return answer.version;
}

bool is_at_least(const std::string& version, const std::string& wanted) {
  return !version.empty() && cann::Version::parse(version) >= cann::Version::parse(wanted);
}

}  // namespace

void bind_control(py::module_& m) {
  bind_external_event(m);
  m.def("subscribe_report", without_gil([](int64_t id, int device) { subscribe_report(stream_of(id, device)); }));
  m.def("unsubscribe_report", without_gil([](int64_t id, int device) { unsubscribe_report(stream_of(id, device)); }));
  m.def("unsubscribe_all_reports", without_gil([] { unsubscribe_all_reports(); }));
  m.def("launch_host_function", wrapped(&launch_python_function));

  m.def("task_queue", &launch::task_queue);
  m.def("set_task_queue", wrapped(&launch::set_task_queue));
  m.def("sync_debug_mode", [] { return static_cast<int>(sync_debug()); });
  m.def("set_sync_debug_mode", [](int mode) { set_sync_debug(static_cast<SyncDebug>(mode)); });

  m.def("sync_launch_stream", without_gil([](c10::DeviceIndex device, int priority) { return sync_launch_stream(device, priority).id(); }));

  m.def("device_limits", without_gil(&device_limits));
  m.def("set_device_limits", without_gil([](c10::DeviceIndex device, int64_t cube, int64_t vector) { set_device_limits(device, {cube, vector}); }));
  m.def("reset_device_limits", without_gil(&reset_device_limits));
  m.def("stream_limits", without_gil([](int64_t id, int device) { return stream_limits(stream_of(id, device)); }));
  m.def("set_stream_limits", without_gil([](int64_t id, int device, int64_t cube, int64_t vector) {
          set_stream_limits(stream_of(id, device), {cube, vector});
        }));
  m.def("reset_stream_limits", without_gil([](int64_t id, int device) { reset_stream_limits(stream_of(id, device)); }));

  m.def("set_matmul_math_type", &ops::set_matmul_math_type);
  m.def("set_conv_math_type", &ops::set_conv_math_type);

  m.def("set_operator_timeout", without_gil(&set_operator_timeout));
  m.def("set_determinism", without_gil(&set_determinism));
  m.def("has_infinities", without_gil(&has_infinities));
  m.def("overflow_flag", without_gil(&overflow_flag));
  m.def("clear_overflow_flag", without_gil(&clear_overflow_flag));
  m.def("stop_device", without_gil(&stop_device));
  m.def("restart_device", without_gil(&restart_device));
  m.def("utilization", without_gil(&utilization));
  m.def("uncorrectable_memory", without_gil(&uncorrectable_memory));
  m.def("init_dump", without_gil(&init_dump));
  m.def("set_dump", without_gil(&set_dump));
  m.def("finalize_dump", without_gil(&finalize_dump));

  m.def("package_version", without_gil(&package_version));
  m.def("is_at_least", &is_at_least);
}

}  // namespace torch_npu
