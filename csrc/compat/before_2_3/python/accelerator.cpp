// What torch came to offer for every device - current device, streams, events, allocator, autocast -, for torch_npu/_compat.py.
#include <torch/csrc/Generator.h>

#include <string>

#include "compat/autocast.h"
#include "compat/python.h"
#include "compat/storage.h"
#include "device/event.h"
#include "device/generator.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "memory/allocators.h"
#include "memory/storage.h"
#include "python/bindings.h"

namespace torch_npu {
namespace {

c10::Stream stream_of(int64_t id, c10::DeviceIndex device) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kPrivateUse1, device), id);
}

c10::DeviceIndex exchange(c10::DeviceIndex device) {
  const c10::DeviceIndex old = peek_device();
  if (device >= 0) set_device(device);
  return old;
}

py::dict as_dict(const c10::CachingAllocator::Stat& stat) {
  py::dict d;
  d["current"] = stat.current;
  d["peak"] = stat.peak;
  d["allocated"] = stat.allocated;
  d["freed"] = stat.freed;
  return d;
}

py::dict as_dict(const c10::CachingAllocator::StatArray& stats) {
  static constexpr const char* kPools[] = {"all", "small_pool", "large_pool"};
  py::dict d;
  for (size_t i = 0; i < stats.size(); ++i) d[kPools[i]] = as_dict(stats[i]);
  return d;
}

// As torch's own of a later version.
py::dict device_stats(c10::DeviceIndex device) {
  const auto stats = device_allocator()->getDeviceStats(device);
  py::dict d;
  d["num_alloc_retries"] = stats.num_alloc_retries;
  d["num_ooms"] = stats.num_ooms;
  d["max_split_size"] = stats.max_split_size;
  d["num_sync_all_streams"] = stats.num_sync_all_streams;
  d["num_device_alloc"] = stats.num_device_alloc;
  d["num_device_free"] = stats.num_device_free;
  d["allocation"] = as_dict(stats.allocation);
  d["segment"] = as_dict(stats.segment);
  d["active"] = as_dict(stats.active);
  d["inactive_split"] = as_dict(stats.inactive_split);
  d["allocated_bytes"] = as_dict(stats.allocated_bytes);
  d["reserved_bytes"] = as_dict(stats.reserved_bytes);
  d["active_bytes"] = as_dict(stats.active_bytes);
  d["inactive_split_bytes"] = as_dict(stats.inactive_split_bytes);
  d["requested_bytes"] = as_dict(stats.requested_bytes);
  d["oversize_allocations"] = as_dict(stats.oversize_allocations);
  d["oversize_segments"] = as_dict(stats.oversize_segments);
  return d;
}

#if TORCH_NPU_TORCH_VERSION < 20100
// A tensor of uint8 over a storage (torch.UntypedStorage, which the caller checks), which that torch's functions take of a few devices only.
at::Tensor bytes_of_storage(const py::handle& object) {
  const c10::Storage storage = torch_compat::storage_of(object.ptr());
  at::Tensor bytes = at::empty({0}, c10::TensorOptions(storage.device()).dtype(at::kByte));
  return bytes.set_(storage, 0, {static_cast<int64_t>(storage.nbytes())}, {1});
}
#endif

const c10::impl::DeviceGuardImplInterface& guard() { return *c10::impl::getDeviceGuardImpl(c10::kPrivateUse1); }

}  // namespace
}  // namespace torch_npu

namespace torch_compat {

void bind(pybind11::module_& m) {
  using namespace torch_npu;
  py::class_<Event>(m, "CompatEvent")
      .def(py::init([](bool timing) {
        return std::make_unique<Event>(c10::kPrivateUse1, timing ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT);
      }))
      .def("record", without_gil([](Event& e, int64_t id, c10::DeviceIndex device) { e.record(stream_of(id, device)); }))
      .def("wait", without_gil([](Event& e, int64_t id, c10::DeviceIndex device) { e.block(stream_of(id, device)); }))
      .def("query", without_gil([](Event& e) { return e.query(); }))
      .def("synchronize", without_gil([](Event& e) { e.synchronize(); }))
      .def("event_id", [](Event& e) { return reinterpret_cast<uintptr_t>(e.eventId()); })
      .def("device_index", [](Event& e) { return static_cast<int>(e.device_index()); });
  m.def("stream_query", without_gil([](int64_t id, c10::DeviceIndex device) { return guard().queryStream(stream_of(id, device)); }));
  m.def("stream_synchronize", without_gil([](int64_t id, c10::DeviceIndex device) { guard().synchronizeStream(stream_of(id, device)); }));
  m.def("stream_native_handle", without_gil([](int64_t id, c10::DeviceIndex device) {
          return reinterpret_cast<uintptr_t>(stream_handle(stream_of(id, device)));
        }));
  m.def("stream_from_pool", without_gil([](c10::DeviceIndex device, int priority) { return stream_from_pool(device, priority).id(); }));
  m.def("current_stream", without_gil([](c10::DeviceIndex device) { return current_stream(device).id(); }));
  m.def("set_current_stream", without_gil([](int64_t id, c10::DeviceIndex device) {
          set_device(device);
          set_current_stream(stream_of(id, device));
        }));
  // What `waiting` is given from now on waits for what `ended`, which may be gone, was given so far.
  m.def("wait_for_end", without_gil([](int64_t waiting, int64_t ended, c10::DeviceIndex device) {
          NPUEvent event;
          event.record_end(stream_of(ended, device));
          event.block(stream_of(waiting, device));
        }));
  m.def("is_external_stream", [](int64_t id, c10::DeviceIndex device) { return is_external(stream_of(id, device)); });
  m.def("current_device", without_gil([] { return static_cast<int>(peek_device()); }));
  m.def("set_device", without_gil(&set_device));
  m.def("exchange_device", without_gil([](c10::DeviceIndex device) { return static_cast<int>(exchange(device)); }));
  m.def("maybe_exchange_device", without_gil([](c10::DeviceIndex device) {
          const c10::DeviceIndex old = peek_device();
          if (device >= 0 && (device == old || has_primary_context(device))) exchange(device);
          return static_cast<int>(old);
        }));
  m.def("empty_cache", without_gil([] { device_allocator()->emptyCache(); }));
  m.def("memory_info", without_gil([](c10::DeviceIndex device) { return device_allocator()->getMemoryInfo(device); }));
  m.def("device_stats", wrapped(&device_stats));
  m.def("reset_peak_stats", without_gil([](c10::DeviceIndex device) { device_allocator()->resetPeakStats(device); }));
  m.def("reset_accumulated_stats", without_gil([](c10::DeviceIndex device) { device_allocator()->resetAccumulatedStats(device); }));
  // dtypes by their number
  m.def("autocast_enabled", [] { return at::autocast::is_privateuseone_enabled(); });
  m.def("set_autocast_enabled", [](bool enabled) { at::autocast::set_privateuseone_enabled(enabled); });
  m.def("autocast_dtype", [] { return static_cast<int>(at::autocast::get_autocast_privateuseone_dtype()); });
  m.def("set_autocast_dtype", [](int dtype) { at::autocast::set_autocast_privateuseone_dtype(static_cast<at::ScalarType>(dtype)); });
#if TORCH_NPU_TORCH_VERSION < 20100
  m.def("clear_autocast_cache", without_gil(&at::autocast::clear_privateuseone_cache));
  m.def("new_generator", wrapped([](c10::DeviceIndex device) {
          device = default_generator(device).device().index();  // -1 is the current one
          return py::reinterpret_steal<py::object>(THPGenerator_Wrap(at::make_generator<NPUGeneratorImpl>(device)));
        }));
  m.def("bytes_of_storage", wrapped(&bytes_of_storage));
  m.def("resize_storage", wrapped([](const py::handle& object, size_t bytes) {
          resize_storage_bytes(torch_compat::storage_of(object.ptr()).unsafeGetStorageImpl(), bytes);
        }));
#endif
}

}  // namespace torch_compat
