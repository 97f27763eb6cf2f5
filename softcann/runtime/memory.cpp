// Allocation, copies, fills and what is known of an address.
#include <sys/mman.h>

#include <cstring>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/arena.h"
#include "softcann/runtime/device.h"

namespace softcann {
using namespace runtime;

namespace {

aclError allocate(void** devPtr, size_t size, size_t alignment, const char* function) {
  if (devPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: devPtr is null", function);
  if (size == 0) return fail(ACL_ERROR_INVALID_PARAM, "%s: size is 0", function);
  Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail(function, &context)) return status;
  return Arena::get().allocate(context->device, size, alignment, function, devPtr);
}

// Freeing waits for what is in flight, as on the device.
void wait_for_device(int device) {
  for (Stream* stream : Registry::get().streams_of(device)) {
    while (!stream->idle()) std::this_thread::yield();
  }
}

struct Copy {
  char* dst;
  const char* src;
  size_t dst_pitch, src_pitch, width, height;
};

void run(const Copy& c) {
  for (size_t row = 0; row < c.height; ++row) std::memcpy(c.dst + row * c.dst_pitch, c.src + row * c.src_pitch, c.width);
}

// One end of a copy: device memory through its writable view, anything else as it is.
int locate(const void* p, size_t bytes, bool must_be_device, bool must_be_host, int device, const char* function, const char* name, char** out) {
  if (p == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s is null", function, name);
  Allocation a;
  const bool known = Arena::get().find(p, &a);
  const bool on_device = (known && a.kind != MemoryKind::host) || (!known && Arena::get().owns(reinterpret_cast<uintptr_t>(p)));
  if (must_be_device && !on_device) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the copy kind says that %s is device memory, but %p is not", function, name, p);
  }
  if (must_be_host && on_device) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the copy kind says that %s is host memory, but %p is device memory", function, name, p);
  }
  if (!on_device) {
    *out = static_cast<char*>(const_cast<void*>(p));
    return ACL_SUCCESS;
  }
  // A copy between devices needs no peer access.
  *out = static_cast<char*>(Arena::get().resolve(p, bytes, known ? a.device : device, function));
  return *out == nullptr ? ACL_ERROR_RT_PARAM_INVALID : ACL_SUCCESS;
}

int prepare(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind, const char* function,
            Copy* copy) {
  Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail(function, &context)) return status;
  const bool dst_device = kind == ACL_MEMCPY_HOST_TO_DEVICE || kind == ACL_MEMCPY_DEVICE_TO_DEVICE;
  const bool src_device = kind == ACL_MEMCPY_DEVICE_TO_HOST || kind == ACL_MEMCPY_DEVICE_TO_DEVICE;
  const bool dst_host = kind == ACL_MEMCPY_DEVICE_TO_HOST || kind == ACL_MEMCPY_HOST_TO_HOST;
  const bool src_host = kind == ACL_MEMCPY_HOST_TO_DEVICE || kind == ACL_MEMCPY_HOST_TO_HOST;
  const size_t dst_bytes = height == 0 ? 0 : (height - 1) * dpitch + width, src_bytes = height == 0 ? 0 : (height - 1) * spitch + width;
  char *d, *s;
  if (const int status = locate(dst, dst_bytes, dst_device, dst_host, context->device, function, "dst", &d)) return status;
  if (const int status = locate(src, src_bytes, src_device, src_host, context->device, function, "src", &s)) return status;
  *copy = {d, s, dpitch, spitch, width, height};
  return ACL_SUCCESS;
}

int check_room(size_t room, size_t count, const char* function) {
  if (count <= room) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: count %zu is more than the destination's %zu bytes", function, count, room);
}

template <class F>
int enqueue_call(aclrtStream stream, const char* name, F f) {
  return enqueue(stream, {[](void* p) { return (*static_cast<F*>(p))(); }, [](void* p) { delete static_cast<F*>(p); }, new F(f), name});
}

int copy_async(const Copy& copy, aclrtStream stream, const char* function) {
  return enqueue_call(stream, function, [copy] { return run(copy), 0; });
}

int fill(void* p, size_t room, int32_t value, size_t count, const char* function, char** at) {
  if (const int status = check_room(room, count, function)) return status;
  Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail(function, &context)) return status;
  static_cast<void>(value);
  return locate(p, count, false, false, context->device, function, "devPtr", at);
}

}  // namespace

aclError api::aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  const bool huge = policy == ACL_MEM_MALLOC_HUGE_ONLY || policy == ACL_MEM_MALLOC_HUGE_FIRST;
  return allocate(devPtr, size, huge && size >= (2u << 20) ? size_t{2} << 20 : 512, "aclrtMalloc");
}
aclError api::aclrtMallocAlign32(void** devPtr, size_t size, aclrtMemMallocPolicy) {
  return allocate(devPtr, size, size >= (2u << 20) ? size_t{2} << 20 : 512, "aclrtMallocAlign32");
}
aclError api::aclrtMallocCached(void** devPtr, size_t size, aclrtMemMallocPolicy) { return allocate(devPtr, size, 512, "aclrtMallocCached"); }
aclError api::aclrtMallocWithCfg(void** devPtr, size_t size, aclrtMemMallocPolicy, aclrtMallocConfig*) {
  return allocate(devPtr, size, 512, "aclrtMallocWithCfg");
}

aclError api::aclrtFree(void* devPtr) {
  if (devPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtFree: devPtr is null");
  if (const int status = check_fork("aclrtFree")) return status;
  Allocation a;
  if (Arena::get().find(devPtr, &a) && a.device >= 0) wait_for_device(a.device);
  return Arena::get().release(devPtr, MemoryKind::device, "aclrtFree");
}

aclError api::aclrtMallocHost(void** hostPtr, size_t size) {
  if (hostPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocHost: hostPtr is null");
  if (size == 0) return fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocHost: size is 0");
  Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail("aclrtMallocHost", &context)) return status;
  return Arena::get().allocate_host(size, "aclrtMallocHost", hostPtr);
}
aclError api::aclrtFreeHost(void* hostPtr) {
  if (hostPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtFreeHost: hostPtr is null");
  return Arena::get().release(hostPtr, MemoryKind::host, "aclrtFreeHost");
}

aclError api::aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind) {
  if (count == 0) return ACL_SUCCESS;
  if (const int status = check_room(destMax, count, "aclrtMemcpy")) return status;
  Copy copy;
  if (const int status = prepare(dst, count, src, count, count, 1, kind, "aclrtMemcpy", &copy)) return status;
  run(copy);
  return ACL_SUCCESS;
}
aclError api::aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind, aclrtStream stream) {
  if (count == 0) return ACL_SUCCESS;
  if (const int status = check_room(destMax, count, "aclrtMemcpyAsync")) return status;
  Copy copy;
  if (const int status = prepare(dst, count, src, count, count, 1, kind, "aclrtMemcpyAsync", &copy)) return status;
  return copy_async(copy, stream, "aclrtMemcpyAsync");
}
aclError api::aclrtMemcpy2d(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind) {
  if (width > dpitch || width > spitch) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemcpy2d: width %zu is more than a pitch", width);
  Copy copy;
  if (const int status = prepare(dst, dpitch, src, spitch, width, height, kind, "aclrtMemcpy2d", &copy)) return status;
  run(copy);
  return ACL_SUCCESS;
}
aclError api::aclrtMemcpy2dAsync(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind,
                                 aclrtStream stream) {
  if (width > dpitch || width > spitch) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemcpy2dAsync: width %zu is more than a pitch", width);
  Copy copy;
  if (const int status = prepare(dst, dpitch, src, spitch, width, height, kind, "aclrtMemcpy2dAsync", &copy)) return status;
  return copy_async(copy, stream, "aclrtMemcpy2dAsync");
}
aclError api::aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) {
  char* at;
  if (const int status = fill(devPtr, maxCount, value, count, "aclrtMemset", &at)) return status;
  std::memset(at, value, count);
  return ACL_SUCCESS;
}
aclError api::aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) {
  char* at;
  if (const int status = fill(devPtr, maxCount, value, count, "aclrtMemsetAsync", &at)) return status;
  return enqueue_call(stream, "aclrtMemsetAsync", [=] { return std::memset(at, value, count), 0; });
}

aclError api::aclrtGetMemInfo(aclrtMemAttr, size_t* free, size_t* total) {
  if (free == nullptr || total == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetMemInfo: free or total is null");
  Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail("aclrtGetMemInfo", &context)) return status;
  *total = config().memory;
  *free = *total - Arena::get().used(context->device);
  return ACL_SUCCESS;
}

aclError api::aclrtPointerGetAttributes(const void* ptr, aclrtPtrAttributes* attributes) {
  if (ptr == nullptr || attributes == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtPointerGetAttributes: ptr or attributes is null");
  *attributes = {};
  Allocation a;
  if (!Arena::get().find(ptr, &a)) {
    attributes->location.type = ACL_MEM_LOCATION_TYPE_UNREGISTERED;
    return ACL_SUCCESS;
  }
  attributes->location.type = a.kind == MemoryKind::host ? ACL_MEM_LOCATION_TYPE_HOST : ACL_MEM_LOCATION_TYPE_DEVICE;
  attributes->location.id = a.device < 0 ? 0 : static_cast<uint32_t>(a.device);
  attributes->pageSize = 4096;
  return ACL_SUCCESS;
}

// ---- virtual memory ---------------------------------------------------------------------------------------------------

namespace {
struct Physical {
  int device;
  uint64_t offset;
  size_t size;
};
constexpr size_t kGranularity = size_t{2} << 20;
}  // namespace

aclError api::aclrtReserveMemAddress(void** virPtr, size_t size, size_t, void*, uint64_t) {
  if (virPtr == nullptr || size == 0 || size % kGranularity != 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtReserveMemAddress: size %zu must be a multiple of %zu", size, kGranularity);
  }
  return Arena::get().reserve(size, "aclrtReserveMemAddress", virPtr);
}
aclError api::aclrtReleaseMemAddress(void* virPtr) { return Arena::get().unreserve(virPtr, "aclrtReleaseMemAddress"); }

aclError api::aclrtMallocPhysical(aclrtDrvMemHandle* handle, size_t size, const aclrtPhysicalMemProp* prop, uint64_t) {
  if (handle == nullptr || prop == nullptr || size == 0 || size % kGranularity != 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocPhysical: size %zu must be a multiple of %zu", size, kGranularity);
  }
  const int device = static_cast<int>(prop->location.id);
  if (const int status = check_device(device, "aclrtMallocPhysical")) return status;
  Physical p{device, 0, size};
  if (const int status = Arena::get().take_extent(device, size, &p.offset)) return status;
  *handle = new Physical(p);
  return ACL_SUCCESS;
}
aclError api::aclrtFreePhysical(aclrtDrvMemHandle handle) {
  auto* p = static_cast<Physical*>(handle);
  if (p == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtFreePhysical: handle is null");
  Arena::get().give_extent(p->device, p->offset, p->size);
  delete p;
  return ACL_SUCCESS;
}
aclError api::aclrtMapMem(void* virPtr, size_t size, size_t offset, aclrtDrvMemHandle handle, uint64_t) {
  auto* p = static_cast<Physical*>(handle);
  if (p == nullptr || offset + size > p->size) return fail(ACL_ERROR_INVALID_PARAM, "aclrtMapMem: offset and size are outside of the memory");
  return Arena::get().map(virPtr, size, p->device, Arena::get().fd(), p->offset + offset, "aclrtMapMem");
}
aclError api::aclrtUnmapMem(void* virPtr) {
  Allocation a;
  if (Arena::get().find(virPtr, &a) && a.device >= 0) wait_for_device(a.device);
  return Arena::get().unmap(virPtr, "aclrtUnmapMem");
}
aclError api::aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp*, aclrtMemGranularityOptions, size_t* granularity) {
  if (granularity == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtMemGetAllocationGranularity: granularity is null");
  *granularity = kGranularity;
  return ACL_SUCCESS;
}

}  // namespace softcann
