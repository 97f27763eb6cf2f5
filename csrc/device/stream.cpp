#include "device/stream.h"

#include <c10/util/Exception.h>

#include <array>
#include <atomic>
#include <mutex>

#include "cann/cann.h"
#include "device/control.h"
#include "device/runtime.h"
#include "launch/queue.h"

namespace torch_npu {
namespace {

// How a StreamId says which stream it is, as c10::cuda does: 0 is the default stream, odd numbers are of a pool, even ones
// are the handle of an external stream (handles are addresses).
//
//     pool:  index << 2 | high priority << 1 | 1
//
// Behind the pool's streams stand the few whose work the calling thread gives to CANN itself, past the task queue.
constexpr int kPoolSize = 32;
constexpr int kSyncLaunchSize = 4;
constexpr int kPriorities = 2;  // 0 normal, 1 high

bool is_pool(c10::StreamId id) { return (id & 1) != 0; }
int priority_slot(c10::StreamId id) { return static_cast<int>(id >> 1) & 1; }
int pool_index(c10::StreamId id) { return static_cast<int>(id >> 2); }
bool is_sync_launch(c10::StreamId id) { return is_pool(id) && pool_index(id) >= kPoolSize; }
c10::StreamId pool_id(int slot, int index) { return static_cast<c10::StreamId>(index) << 2 | slot << 1 | 1; }

struct DeviceStreams {
  std::atomic<aclrtStream> initial{nullptr};
  std::array<std::array<std::atomic<aclrtStream>, kPoolSize + kSyncLaunchSize>, kPriorities> pool{};
  std::array<std::atomic<uint32_t>, kPriorities> next{}, next_sync_launch{};
  std::mutex mutex;
};

std::array<DeviceStreams, kMaxDevices> streams;

thread_local std::array<c10::StreamId, kMaxDevices> current{};

c10::Stream make(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kPrivateUse1, device), id);
}

c10::DeviceIndex or_current(c10::DeviceIndex device) { return device < 0 ? current_device() : device; }

// CANN counts priorities from 0, the highest, down.
uint32_t cann_priority(int slot) {
  int32_t least = 0, greatest = 0;
  if (!cann::aclrtDeviceGetStreamPriorityRange.available() ||
      cann::aclrtDeviceGetStreamPriorityRange(&least, &greatest) != 0) {
    return 0;
  }
  return static_cast<uint32_t>(slot == 1 ? greatest : least);
}

aclrtStream create(c10::DeviceIndex device, int slot) {
  const DeviceSwitch scope(device);
  aclrtStream handle = nullptr;
  if (cann::aclrtCreateStreamWithConfig.available()) {
    NPU_CHECK(cann::aclrtCreateStreamWithConfig(&handle, cann_priority(slot), ACL_STREAM_FAST_LAUNCH | ACL_STREAM_FAST_SYNC));
  } else {
    NPU_CHECK(cann::aclrtCreateStream(&handle));
  }
  // After a failure, nothing computes on with the garbage that it left.
  constexpr uint64_t kStopOnFailure = 1;
  if (cann::aclrtSetStreamFailureMode.available()) NPU_CHECK(cann::aclrtSetStreamFailureMode(handle, kStopOnFailure));
  return handle;
}

aclrtStream get_or_create(std::atomic<aclrtStream>& slot, c10::DeviceIndex device, int priority) {
  aclrtStream handle = slot.load(std::memory_order_acquire);
  if (C10_LIKELY(handle != nullptr && is_initialized())) return handle;
  initialize();
  check_device(device);
  std::lock_guard lock(streams[device].mutex);
  if (slot.load() == nullptr) slot.store(create(device, priority), std::memory_order_release);
  return slot.load();
}

}  // namespace

c10::Stream default_stream(c10::DeviceIndex device) { return make(or_current(device), 0); }

c10::Stream current_stream(c10::DeviceIndex device) {
  device = or_current(device);
  return make(device, current[device]);
}

void set_current_stream(c10::Stream stream) {
  TORCH_CHECK(stream.device_type() == c10::kPrivateUse1, "Expected a stream of an npu device, got one of ", stream.device());
  check_device(stream.device_index());
  current[stream.device_index()] = stream.id();
  launch::launch_directly(stream.device_index(), is_sync_launch(stream.id()));
}

c10::Stream stream_from_pool(c10::DeviceIndex device, int priority) {
  device = or_current(device);
  check_device(device);
  const int slot = priority < 0 ? 1 : 0;
  return make(device, pool_id(slot, static_cast<int>(streams[device].next[slot].fetch_add(1) % kPoolSize)));
}

c10::Stream sync_launch_stream(c10::DeviceIndex device, int priority) {
  device = or_current(device);
  check_device(device);
  const int slot = priority < 0 ? 1 : 0;
  const uint32_t next = streams[device].next_sync_launch[slot].fetch_add(1) % kSyncLaunchSize;
  return make(device, pool_id(slot, kPoolSize + static_cast<int>(next)));
}

c10::Stream external_stream(aclrtStream handle, c10::DeviceIndex device) {
  const auto id = static_cast<c10::StreamId>(reinterpret_cast<intptr_t>(handle));
  TORCH_CHECK(id != 0 && !is_pool(id), "Not a stream handle of CANN: ", handle);
  check_device(device);
  return make(device, id);
}

bool is_external(c10::Stream stream) { return stream.id() != 0 && !is_pool(stream.id()); }

int stream_priority(c10::Stream stream) { return is_pool(stream.id()) && priority_slot(stream.id()) == 1 ? -1 : 0; }

std::pair<int, int> stream_priority_range() { return {0, 1 - kPriorities}; }

aclrtStream stream_handle(c10::Stream stream) {
  const c10::DeviceIndex device = stream.device_index();
  const c10::StreamId id = stream.id();
  DeviceStreams& of_device = streams[device];
  if (C10_LIKELY(id == 0)) return get_or_create(of_device.initial, device, 0);
  if (is_external(stream)) return reinterpret_cast<aclrtStream>(static_cast<intptr_t>(id));
  TORCH_CHECK(pool_index(id) < kPoolSize + kSyncLaunchSize, "npu:", static_cast<int>(device), " has no stream of id ", id);
  return get_or_create(of_device.pool[priority_slot(id)][pool_index(id)], device, priority_slot(id));
}

bool query_stream(c10::Stream stream) {
  const aclrtStream handle = stream_handle(stream);
  const DeviceSwitch scope(stream.device_index());
  launch::drain(stream.device_index());
  aclrtStreamStatus status = ACL_STREAM_STATUS_RESERVED;
  const int code = cann::aclrtStreamQuery(handle, &status);
  if (C10_UNLIKELY(code != 0)) raise_asynchronous(code, "aclrtStreamQuery", stream.device_index());
  return status == ACL_STREAM_STATUS_COMPLETE;
}

void synchronize_stream(c10::Stream stream) {
  const aclrtStream handle = stream_handle(stream);
  const DeviceSwitch scope(stream.device_index());
  launch::drain(stream.device_index());
  const int code = cann::aclrtSynchronizeStream(handle);
  if (C10_UNLIKELY(code != 0)) raise_asynchronous(code, "aclrtSynchronizeStream", stream.device_index());
}

}  // namespace torch_npu
