// Bindings of the allocators: raw memory, settings, snapshots and history, private pools, observers, pluggable allocators.
#include <c10/core/AllocatorConfig.h>
#include <dlfcn.h>

#include <atomic>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "device/stream.h"
#include "memory/allocators.h"
#include "memory/device_allocator.h"
#include "memory/pluggable.h"
#include "memory/settings.h"
#include "python/bindings.h"

namespace torch_npu {
namespace {

using Action = memory::History::Entry::Action;

// ---- snapshots: the dicts that torch's memory viewer reads ---------------------------------------------------------------

const char* action_name(Action action) {
  switch (action) {
    case Action::ALLOC: return "alloc";
    case Action::FREE_REQUESTED: return "free_requested";
    case Action::FREE_COMPLETED: return "free_completed";
    case Action::SEGMENT_ALLOC: return "segment_alloc";
    case Action::SEGMENT_FREE: return "segment_free";
    case Action::SEGMENT_MAP: return "segment_map";
    case Action::SEGMENT_UNMAP: return "segment_unmap";
    case Action::SNAPSHOT: return "snapshot";
    case Action::OOM: return "oom";
  }
  return "unknown";
}

// Python objects are made of all captured stacks at once, behind everything else.
class Frames {
 public:
  void add(py::dict owner, const std::shared_ptr<c10::GatheredContext>& context) {
    auto* captured = dynamic_cast<torch::CapturedTraceback*>(context.get());
    if (captured == nullptr) {
      owner["frames"] = py::list();
      return;
    }
    owners_.push_back(std::move(owner));
    captured_.push_back(captured);
    kept_.push_back(context);
  }
  void fill() {
    std::vector<py::object> frames = torch::py_symbolize(captured_);
    for (size_t i = 0; i < owners_.size(); ++i) owners_[i]["frames"] = frames[i];
  }

 private:
  std::vector<py::dict> owners_;
  std::vector<torch::CapturedTraceback*> captured_;
  std::vector<std::shared_ptr<c10::GatheredContext>> kept_;
};

py::tuple pool_tuple(c10::MempoolId_t id) { return py::make_tuple(id.first, id.second); }

py::dict snapshot(c10::MempoolId_t pool) {
  MemorySnapshot taken;
  {
    py::gil_scoped_release no_gil;
    taken = memory_snapshot(pool);
  }
  Frames frames;
  py::list segments, traces;
  for (const auto& segment : taken.segments) {
    py::dict d;
    d["device"] = static_cast<int>(segment.device);
    d["address"] = segment.address;
    d["total_size"] = segment.total_size;
    d["allocated_size"] = segment.allocated_size;
    d["active_size"] = segment.active_size;
    d["requested_size"] = segment.requested_size;
    d["stream"] = reinterpret_cast<uintptr_t>(segment.stream);
    d["segment_type"] = segment.is_large ? "large" : "small";
    d["segment_pool_id"] = pool_tuple(segment.owner_private_pool_id);
    d["is_expandable"] = segment.is_expandable;
    frames.add(d, segment.context_when_allocated);
    py::list blocks;
    size_t address = segment.address;
    for (const auto& block : segment.blocks) {
      py::dict b;
      b["address"] = address;
      address += block.size;
      b["size"] = block.size;
      b["requested_size"] = block.requested_size;
      b["state"] = block.allocated ? "active_allocated" : block.active ? "active_pending_free" : "inactive";
      frames.add(b, block.context_when_allocated);
      blocks.append(b);
    }
    d["blocks"] = blocks;
    segments.append(d);
  }
  for (const auto& history : taken.history) {
    py::list trace;
    for (const auto& entry : history) {
      py::dict d;
      d["action"] = action_name(entry.action_);
      d[entry.action_ == Action::OOM ? "device_free" : "addr"] = entry.addr_;
      d["size"] = entry.size_;
      d["stream"] = reinterpret_cast<uintptr_t>(entry.stream_);
      d["time_us"] = static_cast<int64_t>(entry.time_.t_);
      d["segment_pool_id"] = pool_tuple(entry.mempool_);
      frames.add(d, entry.context_);
      trace.append(d);
    }
    traces.append(trace);
  }
  frames.fill();
  py::dict result;
  result["segments"] = segments;
  result["device_traces"] = traces;
  return result;
}

std::shared_ptr<c10::GatheredContext> python_stack() { return torch::CapturedTraceback::gather(true, true, false); }
std::shared_ptr<c10::GatheredContext> all_stacks() { return torch::CapturedTraceback::gather(true, true, true); }

// `when`: 0 never a stack, 1 for living allocations, 2 for allocations in the history too, 3 for frees too.
void record_history(bool enabled, int when, bool cpp, size_t max_entries, bool clear) {
  if (when != 0) torch::installCapturedTracebackPython();
  py::gil_scoped_release no_gil;
  record_memory_history(enabled, cpp ? &all_stacks : &python_stack, max_entries,
                        static_cast<memory::History::RecordContext>(when), clear);
}

// ---- pinned host memory --------------------------------------------------------------------------------------------------

// In the shape of torch.cuda.host_memory_stats_as_nested_dict().
py::dict host_stats() {
  const at::HostStats stats = [] {
    const py::gil_scoped_release no_gil;
    return host_allocator()->get_stats();
  }();
  py::dict result;
  const auto amount = [&](const char* name, const c10::CachingAllocator::Stat& stat) {
    py::dict d;
    d["current"] = stat.current;
    d["peak"] = stat.peak;
    d["allocated"] = stat.allocated;
    d["freed"] = stat.freed;
    result[name] = d;
  };
  const auto duration = [&](const char* name, const c10::CachingAllocator::DurationStat& stat) {
    py::dict d;
    d["total"] = stat.total;
    d["max"] = stat.max;
    d["min"] = stat.min;
    d["count"] = stat.count;
    d["avg"] = stat.count == 0 ? 0 : stat.total / stat.count;
    result[name] = d;
  };
  amount("allocations", stats.allocations);
  amount("allocated_bytes", stats.allocated_bytes);
  amount("active_requests", stats.active_requests);
  amount("active_bytes", stats.active_bytes);
  duration("host_alloc_time", stats.host_alloc_time);
  duration("host_free_time", stats.host_free_time);
  result["num_host_alloc"] = stats.num_host_alloc;
  result["num_host_free"] = stats.num_host_free;
  return result;
}

// ---- allocators from elsewhere -------------------------------------------------------------------------------------------

// What NPUPluggableAllocator.allocator() answers: a library, and the names of its two functions.
using PluggableNames = std::tuple<std::string, std::string, std::string>;

memory::Pluggable load_pluggable(const PluggableNames& names) {
  const std::string& path = std::get<0>(names);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays loaded: tensors may die while the process exits
  TORCH_CHECK(library != nullptr, "The allocator cannot be loaded: ", dlerror());
  const auto find = [&](const std::string& name) {
    void* function = dlsym(library, name.c_str());
    TORCH_CHECK(function != nullptr, path, " has no function ", name, " (is it declared extern \"C\"?)");
    return function;
  };
  void* const allocate = find(std::get<1>(names));
  void* const release = find(std::get<2>(names));
  return {reinterpret_cast<memory::Pluggable::Allocate>(allocate), reinterpret_cast<memory::Pluggable::Release>(release)};
}

void change_allocator(const PluggableNames& names) { memory::use_pluggable(load_pluggable(names)); }

// ---- private pools -------------------------------------------------------------------------------------------------------

// {0, n} is of MemPool objects, {n, 0} of graph captures.
c10::MempoolId_t new_pool_id(bool by_user) {
  static std::atomic<uint64_t> next{1};
  const uint64_t n = next.fetch_add(1);
  return by_user ? c10::MempoolId_t{0, n} : c10::MempoolId_t{n, 0};
}

void begin_allocate_to_pool(c10::DeviceIndex device, c10::MempoolId_t id) {
  memory::device_cache(device).begin_allocate_to_pool(
      id, [thread = std::this_thread::get_id()](c10::Stream) { return std::this_thread::get_id() == thread; });
}

void retain_pool(c10::DeviceIndex device, c10::MempoolId_t id, const std::optional<PluggableNames>& allocator, bool use_on_oom,
                 bool no_split) {
  memory::PoolOptions options{nullptr, use_on_oom, no_split};
  if (allocator) {
    const memory::Pluggable functions = load_pluggable(*allocator);
    const auto handle = [device](c10::StreamId stream) {
      return stream_handle(c10::Stream(c10::Stream::UNSAFE, {c10::kPrivateUse1, device}, stream));
    };
    options.source = std::make_shared<const memory::SegmentSource>(memory::SegmentSource{
        [=](size_t bytes, c10::StreamId stream) { return functions.allocate(static_cast<ssize_t>(bytes), device, handle(stream)); },
        [=](void* data, size_t bytes, c10::StreamId stream) {
          functions.release(data, static_cast<ssize_t>(bytes), device, handle(stream));
        }});
  }
  memory::device_cache(device).retain_pool(id, options);
}

void end_allocate_to_pool(c10::DeviceIndex device, c10::MempoolId_t id) { memory::device_cache(device).end_allocate_to_pool(id); }

void attach_observer(const py::function& observer) {
  auto kept = std::shared_ptr<py::function>(new py::function(observer), [](py::function* f) {
    py::gil_scoped_acquire gil;
    delete f;
  });
  py::gil_scoped_release no_gil;
  observe_out_of_memory([kept](c10::DeviceIndex device, size_t asked, size_t total, size_t free) {
    py::gil_scoped_acquire gil;
    (*kept)(static_cast<int>(device), asked, total, free);
  });
}

}  // namespace

void bind_memory(py::module_& m) {
  m.def("raw_alloc", without_gil([](size_t bytes) { return reinterpret_cast<uintptr_t>(raw_alloc(bytes)); }));
  m.def("raw_delete", without_gil([](uintptr_t address) { raw_delete(reinterpret_cast<void*>(address)); }));
  m.def("erase_stream", wrapped([](const at::Tensor& tensor, int64_t id, int device) {
          py::gil_scoped_release no_gil;
          erase_stream(tensor.storage().data_ptr(), stream_of(id, device));
        }));
  m.def("empty_virtual_cache", without_gil(&empty_virtual_cache));
  m.def("set_memory_fraction", without_gil(&set_memory_fraction));
  m.def("memory_fraction", without_gil(&memory_fraction));
  m.def("set_allocator_settings", without_gil(&memory::set_allocator_settings));
  m.def("allocator_settings", [] { return c10::CachingAllocator::getAllocatorSettings(); });
  m.def("host_memory_stats", wrapped(&host_stats));
  m.def("reset_peak_host_memory_stats", without_gil([] { host_allocator()->reset_peak_stats(); }));
  m.def("reset_accumulated_host_memory_stats", without_gil([] { host_allocator()->reset_accumulated_stats(); }));
  m.def("host_empty_cache", without_gil([] { host_allocator()->empty_cache(); }));
  m.def("memory_snapshot", wrapped(&snapshot));
  m.def("record_memory_history", wrapped(&record_history));
  m.def("attach_out_of_memory_observer", wrapped(&attach_observer));
  m.def("new_pool_id", &new_pool_id);
  m.def("begin_allocate_to_pool", without_gil(&begin_allocate_to_pool));
  m.def("end_allocate_to_pool", without_gil(&end_allocate_to_pool));
  m.def("retain_pool", without_gil(&retain_pool));
  m.def("release_pool", without_gil([](c10::DeviceIndex device, c10::MempoolId_t id) {
          memory::device_cache(device).release_pool(id);
        }));
  m.def("pool_use_count", without_gil([](c10::DeviceIndex device, c10::MempoolId_t id) {
          return memory::device_cache(device).pool_use_count(id);
        }));
  m.def("empty_pool", without_gil([](c10::MempoolId_t id) { device_allocator()->emptyCache(id); }));
  m.def("change_allocator", wrapped(&change_allocator));
  m.def("allocator_is_pluggable", [] { return memory::pluggable() != nullptr; });
}

}  // namespace torch_npu
