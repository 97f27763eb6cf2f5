// The two allocators, both registered with c10 at library load and reachable without a virtual call from the adapter.
#pragma once

#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <functional>
#include <vector>

#include "cann/export.h"
#include "memory/history.h"

namespace torch_npu {

// Caching device allocator behind c10::DeviceAllocator. Memory belongs to the stream current at allocation.
TORCH_NPU_API c10::DeviceAllocator* device_allocator();

// Pinned host memory; registered as at::HostAllocator.
TORCH_NPU_API at::HostAllocator* host_allocator();

// Whether `p` lies in pinned host memory. Starts nothing.
TORCH_NPU_API bool is_pinned_ptr(const void* p);

// Device memory by address, for code outside torch; from the current device and stream. raw_delete() refuses an address
// that raw_alloc() did not return.
TORCH_NPU_API void* raw_alloc(size_t bytes);
TORCH_NPU_API void raw_delete(void* address);

// Takes recordStream() of the memory back.
TORCH_NPU_API void erase_stream(const c10::DataPtr& data, c10::Stream stream);

// See DeviceCache::empty_virtual_cache(); all devices.
TORCH_NPU_API void empty_virtual_cache();

// The share of the device's memory that this process may reserve, 0 to 1.
TORCH_NPU_API void set_memory_fraction(double fraction, c10::DeviceIndex device);
TORCH_NPU_API double memory_fraction(c10::DeviceIndex device);

// `observer` is called, on whichever thread, before an OutOfMemoryError is raised: device, bytes asked for, bytes of the device in
// total, bytes of it that are free.
TORCH_NPU_API void observe_out_of_memory(std::function<void(c10::DeviceIndex, size_t, size_t, size_t)> observer);

// Every segment and block of all devices, or of one private pool; `history` holds, per device, what was recorded.
struct MemorySnapshot {
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> segments;
  std::vector<std::vector<memory::History::Entry>> history;
};
TORCH_NPU_API MemorySnapshot memory_snapshot(c10::MempoolId_t pool = {0, 0});
TORCH_NPU_API void record_memory_history(bool enabled, c10::CachingDeviceAllocator::CreateContextFn make_context,
                                         size_t max_entries, memory::History::RecordContext when, bool clear);

}  // namespace torch_npu
