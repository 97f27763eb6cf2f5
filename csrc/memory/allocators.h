// The two allocators, both registered with c10 at library load and reachable without a virtual call from the adapter.
#pragma once

#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>

namespace torch_npu {

// Caching device allocator behind c10::DeviceAllocator. Memory belongs to the stream current at allocation.
c10::DeviceAllocator* device_allocator();

// Pinned host memory; registered as at::HostAllocator.
at::HostAllocator* host_allocator();

// Whether `p` lies in pinned host memory.
bool is_pinned_ptr(const void* p);

}  // namespace torch_npu
