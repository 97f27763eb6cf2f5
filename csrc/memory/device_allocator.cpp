#include "memory/device_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "cann/cann.h"
#include "device/runtime.h"
#include "launch/queue.h"
#include "memory/allocators.h"
#include "memory/cann_backend.h"
#include "memory/pluggable.h"

namespace torch_npu {
namespace memory {
namespace {

constexpr size_t kMostDevices = 128;  // c10::DeviceIndex is an int8_t

std::array<std::atomic<DeviceCache*>, kMostDevices> caches;  // never deleted: tensors may outlive static destruction
std::mutex making;
std::atomic<bool> made_any{false};
std::atomic<bool> forked{false};  // this process is a child of one that had used a device

// record_memory_history(), for devices that have no cache yet.
struct HistorySettings {
  bool enabled = false;
  c10::CachingDeviceAllocator::CreateContextFn make_context = nullptr;
  size_t max_entries = 1;
  History::RecordContext when = History::RecordContext::NEVER;
} history_settings;

std::vector<OutOfMemoryObserver>& observers() {  // under `making`
  static auto* all = new std::vector<OutOfMemoryObserver>;
  return *all;
}

void configure_history(DeviceCache& cache, bool clear) {
  const HistorySettings& s = history_settings;
  cache.history().configure(s.enabled, s.make_context, s.max_entries, s.when, clear);
}

void forget_in_child() {
  forked = true;
  made_any = false;
  for (auto& cache : caches) cache = nullptr;
}

DeviceCache& make_cache(c10::DeviceIndex device) {
  const Settings settings = load_settings();
  check_device(device);
  current_device();  // starts CANN; raises where it cannot be used, in a forked process too
  std::lock_guard<std::mutex> lock(making);
  std::atomic<DeviceCache*>& slot = caches[static_cast<size_t>(device)];
  if (slot.load() == nullptr) {
    if (!made_any.exchange(true)) pthread_atfork(nullptr, nullptr, &forget_in_child);
    auto cache = std::make_unique<DeviceCache>(device, make_cann_backend(device), settings);
    configure_history(*cache, false);
    for (const OutOfMemoryObserver& observer : observers()) cache->attach_out_of_memory_observer(observer);
    slot = cache.release();
  }
  return *slot.load();
}

DeviceCache* existing_cache(c10::DeviceIndex device) {
  return device < 0 ? nullptr : caches[static_cast<size_t>(device)].load(std::memory_order_acquire);
}

DeviceCache& cache_of(c10::DeviceIndex device) {
  DeviceCache* cache = existing_cache(device);
  return C10_LIKELY(cache != nullptr) ? *cache : make_cache(device);
}

template <class F>
void for_each_cache(F f) {
  for (auto& slot : caches) {
    if (DeviceCache* cache = slot.load(std::memory_order_acquire)) f(*cache);
  }
}

// Every DataPtr of this allocator has this deleter, with its Block as context. Never takes the GIL.
void delete_block(void* context) {
  if (context == nullptr || C10_UNLIKELY(forked.load(std::memory_order_relaxed))) return;
  auto block = static_cast<Block*>(context);
  block->cache->free(block);
}

std::atomic<const Pluggable*> pluggable_functions{nullptr};

// What a DataPtr of a pluggable allocator points to as its context.
struct Outside {
  const Pluggable* functions;
  void* data;
  size_t bytes;
  c10::Stream stream;
};

void delete_outside(void* context) {
  const std::unique_ptr<Outside> outside(static_cast<Outside*>(context));
  if (outside == nullptr || forked.load(std::memory_order_relaxed)) return;
  const c10::DeviceIndex device = outside->stream.device_index();
  try {
    // The function knows the stream, but not what has not reached it yet.
    launch::drain_nothrow(device);
    outside->functions->release(outside->data, static_cast<ssize_t>(outside->bytes), device, stream_handle(outside->stream));
  } catch (...) {
    // Deleters must not raise; the device is gone.
  }
}

c10::DataPtr allocate_outside(const Pluggable& functions, size_t bytes, c10::DeviceIndex index) {
  const c10::Device device(c10::kPrivateUse1, index);
  if (bytes == 0) return {nullptr, nullptr, &delete_outside, device};
  const c10::Stream stream = current_stream(index);
  void* data = functions.allocate(static_cast<ssize_t>(bytes), index, stream_handle(stream));
  TORCH_CHECK_WITH(OutOfMemoryError, data != nullptr, "The pluggable allocator returned no memory for ", bytes, " bytes on npu:",
                   static_cast<int>(index), ".");
  return {data, new Outside{&functions, data, bytes, stream}, &delete_outside, device};
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::DeviceIndex index = current_device();
    if (const Pluggable* functions = pluggable_functions.load(std::memory_order_relaxed); C10_UNLIKELY(functions != nullptr)) {
      return allocate_outside(*functions, bytes, index);
    }
    const c10::Device device(c10::kPrivateUse1, index);
    if (bytes == 0) return {nullptr, nullptr, &delete_block, device};
    Block* block = cache_of(index).malloc(bytes, current_stream(index).id());
    return {block->data, block, &delete_block, device};
  }

  bool is_simple_data_ptr(const c10::DataPtr& data) const override { return data.get_deleter() == &delete_block; }

  void copy_data(void* dest, const void* src, size_t bytes) const override {
    const c10::Stream stream = current_stream(current_device());
    const aclrtStream handle = stream_handle(stream);
    launch::raise_pending(stream.device_index());
    launch::push(stream.device_index(), "aclrtMemcpyAsync", [=] {
      NPU_CHECK(cann::aclrtMemcpyAsync(dest, bytes, src, bytes, ACL_MEMCPY_DEVICE_TO_DEVICE, handle));
    });
  }

  bool initialized() override { return made_any.load(); }

  void emptyCache(c10::MempoolId_t pool) override {
    for_each_cache([&](DeviceCache& cache) { cache.empty_cache(pool); });
  }

  void recordStream(const c10::DataPtr& data, c10::Stream stream) override {
    // Memory that came from elsewhere (another process, a foreign library) has its own rules of lifetime.
    if (data.get() == nullptr || data.get_deleter() != &delete_block) return;
    auto block = static_cast<Block*>(data.get_context());
    block->cache->record_stream(block, stream);
  }

  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    DeviceCache* cache = existing_cache(device);
    return cache == nullptr ? c10::CachingDeviceAllocator::DeviceStats{} : cache->stats();
  }

  void resetAccumulatedStats(c10::DeviceIndex device) override {
    if (DeviceCache* cache = existing_cache(device)) cache->reset_accumulated_stats();
  }

  void resetPeakStats(c10::DeviceIndex device) override {
    if (DeviceCache* cache = existing_cache(device)) cache->reset_peak_stats();
  }

  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    return device_cache(device).memory_info();
  }
};

Allocator* allocator() {
  static auto* instance = new Allocator;
  return instance;
}

REGISTER_ALLOCATOR(c10::kPrivateUse1, allocator())

std::mutex raw_mutex;
std::unordered_map<void*, Block*>& raw_blocks() {
  static auto* blocks = new std::unordered_map<void*, Block*>;
  return *blocks;
}

}  // namespace

DeviceCache& device_cache(c10::DeviceIndex device) { return cache_of(device); }

void apply_settings(const Settings& settings) {
  for_each_cache([&](DeviceCache& cache) { cache.apply(settings); });
}

void use_pluggable(Pluggable functions) {
  TORCH_CHECK(!made_any.load(), "The allocator cannot be changed any more: npu memory is in use. Change it at the start of the program.");
  TORCH_CHECK(pluggable_functions.load() == nullptr, "The allocator has been changed already.");
  pluggable_functions.store(new Pluggable(functions));  // leaked: tensors may die while the process exits
}

const Pluggable* pluggable() noexcept { return pluggable_functions.load(); }

}  // namespace memory

c10::DeviceAllocator* device_allocator() { return memory::allocator(); }

void* raw_alloc(size_t bytes) {
  if (bytes == 0) return nullptr;
  const c10::DeviceIndex device = current_device();
  memory::Block* block = memory::device_cache(device).malloc(bytes, current_stream(device).id());
  std::lock_guard<std::mutex> lock(memory::raw_mutex);
  memory::raw_blocks().emplace(block->data, block);
  return block->data;
}

void raw_delete(void* address) {
  if (address == nullptr) return;
  memory::Block* block = nullptr;
  {
    std::lock_guard<std::mutex> lock(memory::raw_mutex);
    const auto found = memory::raw_blocks().find(address);
    TORCH_CHECK_VALUE(found != memory::raw_blocks().end(), "caching_allocator_delete: ", address,
                      " does not come from caching_allocator_alloc, or was deleted already.");
    block = found->second;
    memory::raw_blocks().erase(found);
  }
  memory::delete_block(block);
}

void set_memory_fraction(double fraction, c10::DeviceIndex device) {
  memory::device_cache(device).set_memory_fraction(fraction);
}

double memory_fraction(c10::DeviceIndex device) { return memory::device_cache(device).memory_fraction(); }

void erase_stream(const c10::DataPtr& data, c10::Stream stream) {
  if (data.get() == nullptr || data.get_deleter() != &memory::delete_block) return;
  auto block = static_cast<memory::Block*>(data.get_context());
  block->cache->erase_stream(block, stream);
}

void empty_virtual_cache() {
  memory::for_each_cache([](memory::DeviceCache& cache) { cache.empty_virtual_cache(); });
}

void observe_out_of_memory(memory::OutOfMemoryObserver observer) {
  std::lock_guard<std::mutex> lock(memory::making);
  memory::observers().push_back(observer);
  memory::for_each_cache([&](memory::DeviceCache& cache) { cache.attach_out_of_memory_observer(observer); });
}

MemorySnapshot memory_snapshot(c10::MempoolId_t pool) {
  MemorySnapshot snapshot;
  memory::for_each_cache([&](memory::DeviceCache& cache) {
    const auto segments = cache.snapshot(pool);
    snapshot.segments.insert(snapshot.segments.end(), segments.begin(), segments.end());
    snapshot.history.resize(static_cast<size_t>(cache.device()) + 1);
    snapshot.history.back() = cache.history().entries();
  });
  return snapshot;
}

void record_memory_history(bool enabled, c10::CachingDeviceAllocator::CreateContextFn make_context, size_t max_entries,
                           memory::History::RecordContext when, bool clear) {
  std::lock_guard<std::mutex> lock(memory::making);
  memory::history_settings = {enabled, make_context, max_entries, when};
  memory::for_each_cache([&](memory::DeviceCache& cache) { memory::configure_history(cache, clear); });
}

}  // namespace torch_npu
