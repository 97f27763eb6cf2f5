#include "memory/cann_backend.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cann/cann.h"
#include "cann/loader.h"
#include "device/runtime.h"
#include "launch/queue.h"

namespace torch_npu::memory {
namespace {

bool is_out_of_memory(int code) {
  return code == ACL_ERROR_RT_MEMORY_ALLOCATION || code == ACL_ERROR_BAD_ALLOC || code == ACL_ERROR_STORAGE_OVER_LIMIT;
}

constexpr uint64_t kHugePages = 1;  // flag of aclrtReserveMemAddress

class CannBackend final : public DeviceBackend {
 public:
  explicit CannBackend(c10::DeviceIndex device) : device_(device) {}

  void* allocate(size_t bytes) override {
    const DeviceSwitch scope(device_);
    void* data = nullptr;
    int code = cann::aclrtMalloc(&data, bytes, ACL_MEM_MALLOC_HUGE_FIRST);
    if (is_out_of_memory(code) && free_kept()) code = cann::aclrtMalloc(&data, bytes, ACL_MEM_MALLOC_HUGE_FIRST);
    if (is_out_of_memory(code)) return nullptr;
    cann::check(code, "aclrtMalloc");
    return data;
  }

  void release(void* data) override {
    const DeviceSwitch scope(device_);
    NPU_CHECK(cann::aclrtFree(data));
  }

  std::pair<size_t, size_t> memory_info() override {
    const DeviceSwitch scope(device_);
    size_t free = 0;
    size_t total = 0;
    NPU_CHECK(cann::aclrtGetMemInfo(ACL_HBM_MEM, &free, &total));
    return {free, total};
  }

  void synchronize() override {
    launch::drain_nothrow(device_);  // an operator's failure stays pending for the call that is to report it
    const DeviceSwitch scope(device_);
    if (const int code = cann::aclrtSynchronizeDevice()) raise_asynchronous(code, "aclrtSynchronizeDevice", device_);
  }

  void* record_event(c10::Stream stream) override { return event_pool().record(stream).release(); }
  bool event_done(void* event) override { return static_cast<NPUEvent*>(event)->query(); }
  void wait_event(void* event) override { static_cast<NPUEvent*>(event)->synchronize(); }
  void recycle_event(void* event) noexcept override {
    event_pool().recycle(std::unique_ptr<NPUEvent>(static_cast<NPUEvent*>(event)));
  }

  std::string lack_of_address_ranges() override {
    for (const cann::SymbolBase* f : std::initializer_list<const cann::SymbolBase*>{
             &cann::aclrtReserveMemAddress, &cann::aclrtReleaseMemAddress, &cann::aclrtMallocPhysical, &cann::aclrtFreePhysical,
             &cann::aclrtMapMem, &cann::aclrtUnmapMem}) {
      if (!f->available()) return cann::absence(*f);
    }
    return {};
  }

  void* reserve_address(size_t bytes) override {
    const DeviceSwitch scope(device_);
    void* address = nullptr;
    NPU_CHECK(cann::aclrtReserveMemAddress(&address, bytes, 0, nullptr, kHugePages));
    return address;
  }

  void release_address(void* address) noexcept override {
    try {
      NPU_CHECK(cann::aclrtReleaseMemAddress(address));
    } catch (const std::exception& e) {
      TORCH_WARN("An address range of the memory allocator could not be given back: ", e.what());
    }
  }

  void* map(void* address, size_t bytes) override {
    const DeviceSwitch scope(device_);
    aclrtDrvMemHandle handle = take_kept(bytes);
    if (handle == nullptr) handle = allocate_physical(bytes);
    if (handle == nullptr && free_kept()) handle = allocate_physical(bytes);
    if (handle == nullptr) return nullptr;
    if (const int failed = cann::aclrtMapMem(address, bytes, 0, handle, 0)) {
      cann::aclrtFreePhysical(handle);
      cann::check(failed, "aclrtMapMem");
    }
    std::lock_guard lock(mutex_);
    sizes_[handle] = bytes;
    return handle;
  }

  void unmap(void* address, void* handle, bool keep) override {
    const DeviceSwitch scope(device_);
    NPU_CHECK(cann::aclrtUnmapMem(address));
    std::lock_guard lock(mutex_);
    const auto size = sizes_.find(handle);
    if (keep) {
      kept_.emplace_back(size->second, handle);
    } else {
      NPU_CHECK(cann::aclrtFreePhysical(static_cast<aclrtDrvMemHandle>(handle)));
    }
    sizes_.erase(size);
  }

  void release_kept() noexcept override {
    try {
      const DeviceSwitch scope(device_);
      free_kept();
    } catch (const std::exception& e) {
      TORCH_WARN("Memory of the allocator could not be given back: ", e.what());
    }
  }

 private:
  // nullptr when out of memory
  aclrtDrvMemHandle allocate_physical(size_t bytes) {
    aclrtPhysicalMemProp properties{};
    properties.handleType = ACL_MEM_HANDLE_TYPE_NONE;
    properties.allocationType = ACL_MEM_ALLOCATION_TYPE_PINNED;
    properties.memAttr = ACL_HBM_MEM_HUGE;
    properties.location.id = static_cast<uint32_t>(device_);
    properties.location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
    aclrtDrvMemHandle handle = nullptr;
    const int code = cann::aclrtMallocPhysical(&handle, bytes, &properties, 0);
    if (is_out_of_memory(code)) return nullptr;
    cann::check(code, "aclrtMallocPhysical");
    return handle;
  }

  aclrtDrvMemHandle take_kept(size_t bytes) {
    std::lock_guard lock(mutex_);
    const auto found = std::find_if(kept_.rbegin(), kept_.rend(), [&](const auto& k) { return k.first == bytes; });
    if (found == kept_.rend()) return nullptr;
    void* handle = found->second;
    kept_.erase(std::next(found).base());
    return static_cast<aclrtDrvMemHandle>(handle);
  }

  // Whether there was any.
  bool free_kept() {
    std::lock_guard lock(mutex_);
    if (kept_.empty()) return false;
    for (const auto& [bytes, handle] : std::exchange(kept_, {})) NPU_CHECK(cann::aclrtFreePhysical(static_cast<aclrtDrvMemHandle>(handle)));
    return true;
  }

  const c10::DeviceIndex device_;
  std::mutex mutex_;  // of what follows
  std::unordered_map<void*, size_t> sizes_;
  std::vector<std::pair<size_t, void*>> kept_;  // memory without addresses: bytes and handle
};

}  // namespace

std::unique_ptr<DeviceBackend> make_cann_backend(c10::DeviceIndex device) {
  return std::make_unique<CannBackend>(device);
}

std::unique_ptr<NPUEvent> EventPool::record(c10::Stream stream) {
  std::unique_ptr<NPUEvent> event;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& idle = idle_[stream.device_index()];
    if (!idle.empty()) {
      event = std::move(idle.back());
      idle.pop_back();
    }
  }
  if (event == nullptr) event = std::make_unique<NPUEvent>();
  event->record_end(stream);
  return event;
}

void EventPool::recycle(std::unique_ptr<NPUEvent> event) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  idle_[event->device_index()].push_back(std::move(event));
}

EventPool& event_pool() {
  static auto* pool = new EventPool;
  return *pool;
}

}  // namespace torch_npu::memory
