// Bindings for storages and events that processes share.
#include <cstring>
#include <tuple>

#include "compat/python.h"
#include "compat/storage.h"
#include "device/event.h"
#include "memory/sharing.h"
#include "python/bindings.h"

namespace torch_npu {
namespace {

py::tuple share(const py::object& storage) {
  const c10::Storage shared = torch_compat::storage_of(storage.ptr());
  SharedStorage s;
  {
    py::gil_scoped_release no_gil;
    s = share_storage(shared);
  }
  return py::make_tuple(s.device, s.process, py::bytes(s.key), s.offset, s.bytes, s.counters, s.slot, py::bytes(s.event));
}

py::object open(int device, int process, const std::string& key, size_t offset, size_t bytes, const std::string& counters, int slot,
                const std::string& event) {
  c10::Storage storage;
  {
    py::gil_scoped_release no_gil;
    storage = open_shared_storage({device, process, key, offset, bytes, counters, slot, event});
  }
  return py::reinterpret_steal<py::object>(torch::createPyObject(storage));
}

using torch_compat::event_of;

void make_interprocess(const py::object& event, c10::DeviceIndex device) {
  adopt_event(event_of(event), NPUEvent(NPUEvent::kInterprocess), device);
}

void open_event(const py::object& event, c10::DeviceIndex device, const std::string& bytes) {
  aclrtIpcEventHandle handle{};
  TORCH_CHECK_VALUE(bytes.size() == sizeof handle.reserved, "An event handle has ", sizeof handle.reserved, " bytes, got ", bytes.size(), ".");
  std::memcpy(handle.reserved, bytes.data(), bytes.size());
  adopt_event(event_of(event), NPUEvent::from_ipc_handle(device, handle), device);
}

py::bytes event_ipc_handle(const py::object& event, c10::DeviceIndex device) {
  void* made = event_of(event).eventId();
  TORCH_CHECK(made != nullptr, "The event was not created with interprocess=True, so other processes cannot use it.");
  const aclrtIpcEventHandle handle = static_cast<NPUEvent*>(made)->ipc_handle(device);
  return py::bytes(handle.reserved, sizeof handle.reserved);
}

}  // namespace

void bind_sharing(py::module_& m) {
  m.def("share_storage", wrapped(&share));
  m.def("open_shared_storage", wrapped(&open));
  m.def("collect_shared_storages", without_gil(&collect_shared_storages));
  m.def("make_event_interprocess", wrapped(&make_interprocess));
  m.def("open_event", wrapped(&open_event));
  m.def("event_ipc_handle", wrapped(&event_ipc_handle));
}

}  // namespace torch_npu
