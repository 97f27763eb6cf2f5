// aclrtMalloc and its family, what is known of an address, and how much memory there is.
#include "softcann/runtime/memory.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/host_memory.h"
#include "softcann/runtime/memory_arena.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {

void wait_for_device(int device) {
  for (Stream* stream : streams_of(device)) {
    if (!stream->idle() && !(on_stream_thread() && stream->is_own())) Stream::wait(stream->mark(), kNever);
  }
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

constexpr size_t kGiant = size_t{1} << 30;

enum class Pages { normal, huge_first, huge_only, giant_only };

// The page size that a policy asks for. The upper bits are placement on the card's memories.
aclError read_policy(const char* function, aclrtMemMallocPolicy policy, Pages* pages) {
  constexpr uint32_t kPlacement = ACL_MEM_TYPE_LOW_BAND_WIDTH | ACL_MEM_TYPE_HIGH_BAND_WIDTH | ACL_MEM_ACCESS_USER_SPACE_READONLY;
  switch (static_cast<uint32_t>(policy) & ~kPlacement) {
    case ACL_MEM_MALLOC_HUGE_FIRST: case ACL_MEM_MALLOC_HUGE_FIRST_P2P: *pages = Pages::huge_first; return ACL_SUCCESS;
    case ACL_MEM_MALLOC_HUGE_ONLY: case ACL_MEM_MALLOC_HUGE_ONLY_P2P: *pages = Pages::huge_only; return ACL_SUCCESS;
    case ACL_MEM_MALLOC_NORMAL_ONLY: case ACL_MEM_MALLOC_NORMAL_ONLY_P2P: *pages = Pages::normal; return ACL_SUCCESS;
    case ACL_MEM_MALLOC_HUGE1G_ONLY: case ACL_MEM_MALLOC_HUGE1G_ONLY_P2P: *pages = Pages::giant_only; return ACL_SUCCESS;
  }
  return fail(ACL_ERROR_RT_INVALID_MALLOC_TYPE, "%s: policy is %d, allowed are the values of aclrtMemMallocPolicy", function,
              static_cast<int>(policy));
}

aclError allocate(const char* function, void** devPtr, size_t size, aclrtMemMallocPolicy policy, int device = -1) {
  if (devPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: devPtr is null", function);
  if (size == 0) return fail(ACL_ERROR_INVALID_PARAM, "%s: size is 0", function);
  Pages pages = Pages::normal;
  if (const int code = read_policy(function, policy, &pages)) return code;
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (device < 0) device = context->device;
  MemoryArena& arena = MemoryArena::get();
  const size_t room = round_up(size, kBlock);
  switch (pages) {
    case Pages::giant_only: return arena.allocate(device, size, round_up(size, kGiant), kGiant, true, function, devPtr);
    case Pages::huge_only: return arena.allocate(device, size, round_up(size, kHugePage), kHugePage, true, function, devPtr);
    case Pages::huge_first:
      // As on the device, what is small takes normal pages.
      if (size > kHugePage / 2 && arena.allocate(device, size, room, kHugePage, true, function, devPtr) == ACL_SUCCESS) return ACL_SUCCESS;
      break;
    case Pages::normal: break;
  }
  return arena.allocate(device, size, room, kBlock, false, function, devPtr);
}

aclError allocate_configured(const char* function, void** devPtr, size_t size, aclrtMemMallocPolicy policy, const aclrtMallocConfig* cfg) {
  int device = -1;
  for (size_t i = 0; cfg != nullptr && i < cfg->numAttrs; ++i) {
    if (cfg->attrs == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: cfg->attrs is null, cfg->numAttrs is %zu", function, cfg->numAttrs);
    if (cfg->attrs[i].attr != ACL_RT_MEM_ATTR_DEVICE_ID) continue;
    device = static_cast<int>(cfg->attrs[i].value.deviceId);
    if (const int code = check_device(device, function)) return code;
  }
  return allocate(function, devPtr, size, policy, device);
}

aclError release(const char* function, void* devPtr) {
  if (devPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: devPtr is null", function);
  if (const int code = check_fork(function)) return code;
  MemoryArena& arena = MemoryArena::get();
  const Allocation* a = arena.find(devPtr);
  if (a != nullptr) {
    const int device = a->device.load(std::memory_order_relaxed);
    if (device >= 0) wait_for_device(device);
  }
  return arena.release(devPtr, MemoryKind::device, function);
}

}  // namespace

aclError api::aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) { return allocate("aclrtMalloc", devPtr, size, policy); }

aclError api::aclrtMallocAlign32(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  return allocate("aclrtMallocAlign32", devPtr, size, policy);
}

// There is no cache between the host and the device to manage.
aclError api::aclrtMallocCached(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  return allocate("aclrtMallocCached", devPtr, size, policy);
}
aclError api::aclrtMemFlush(void* devPtr, size_t size) {
  int device = -1;
  return MemoryArena::get().alias(devPtr, size, "aclrtMemFlush", &device) == nullptr ? ACL_ERROR_RT_PARAM_INVALID : ACL_SUCCESS;
}
aclError api::aclrtMemInvalidate(void* devPtr, size_t size) {
  int device = -1;
  return MemoryArena::get().alias(devPtr, size, "aclrtMemInvalidate", &device) == nullptr ? ACL_ERROR_RT_PARAM_INVALID : ACL_SUCCESS;
}

aclError api::aclrtMallocWithCfg(void** devPtr, size_t size, aclrtMemMallocPolicy policy, aclrtMallocConfig* cfg) {
  return allocate_configured("aclrtMallocWithCfg", devPtr, size, policy, cfg);
}
aclError api::aclrtMallocForTaskScheduler(void** devPtr, size_t size, aclrtMemMallocPolicy policy, aclrtMallocConfig* cfg) {
  return allocate_configured("aclrtMallocForTaskScheduler", devPtr, size, policy, cfg);
}

aclError api::aclrtFree(void* devPtr) { return release("aclrtFree", devPtr); }
aclError api::aclrtFreeWithDevSync(void* devPtr) { return release("aclrtFreeWithDevSync", devPtr); }

aclError api::aclrtGetMemInfo(aclrtMemAttr attr, size_t* free, size_t* total) {
  if (free == nullptr || total == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetMemInfo: %s is null", free == nullptr ? "free" : "total");
  }
  Context* context = nullptr;
  if (const int code = require_context("aclrtGetMemInfo", &context)) return code;
  if (attr < ACL_DDR_MEM || attr > ACL_MEM_P2P_HUGE1G) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetMemInfo: attr is %d, allowed are 0 to 17 (aclrtMemAttr)", static_cast<int>(attr));
  }
  // All of the memory is of one kind, whatever name a client uses for it.
  *total = config().memory;
  *free = *total - MemoryArena::get().used(context->device);
  return ACL_SUCCESS;
}

aclError api::aclrtGetMemUsageInfo(int32_t deviceId, aclrtMemUsageInfo* memUsageInfo, size_t inputNum, size_t* outputNum) {
  if (memUsageInfo == nullptr || outputNum == nullptr || inputNum == 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetMemUsageInfo: %s", memUsageInfo == nullptr ? "memUsageInfo is null"
                                                                     : outputNum == nullptr ? "outputNum is null" : "inputNum is 0");
  }
  if (const int code = check_fork("aclrtGetMemUsageInfo")) return code;
  if (const int code = check_device(deviceId, "aclrtGetMemUsageInfo")) return code;
  const MemoryArena& arena = MemoryArena::get();
  *memUsageInfo = {};
  snprintf(memUsageInfo->name, sizeof(memUsageInfo->name), "APP");  // everything is allocated by the application
  memUsageInfo->curMemSize = arena.used(deviceId);
  memUsageInfo->memPeakSize = arena.peak(deviceId);
  *outputNum = 1;
  return ACL_SUCCESS;
}

aclError api::aclrtPointerGetAttributes(const void* ptr, aclrtPtrAttributes* attributes) {
  if (ptr == nullptr || attributes == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtPointerGetAttributes: %s is null", ptr == nullptr ? "ptr" : "attributes");
  }
  *attributes = {};
  attributes->location.type = ACL_MEM_LOCATION_TYPE_UNREGISTERED;
  if (is_registered_host_memory(ptr, 1)) attributes->location.type = ACL_MEM_LOCATION_TYPE_HOST;
  const MemoryArena* arena = MemoryArena::existing();
  const Allocation* a = arena == nullptr ? nullptr : arena->find(ptr);
  if (a == nullptr) return ACL_SUCCESS;
  const int device = a->device.load(std::memory_order_relaxed);
  attributes->location.type = device < 0 ? ACL_MEM_LOCATION_TYPE_HOST : ACL_MEM_LOCATION_TYPE_DEVICE;
  attributes->location.id = static_cast<uint32_t>(std::max(0, device));
  const bool huge = a->huge.load(std::memory_order_relaxed) || a->kind.load(std::memory_order_relaxed) == MemoryKind::mapped;
  attributes->pageSize = static_cast<uint32_t>(huge ? kHugePage : kPage);
  return ACL_SUCCESS;
}

aclError api::aclrtMemGetAddressRange(void* ptr, void** pbase, size_t* psize) {
  if (const int code = check_fork("aclrtMemGetAddressRange")) return code;
  const Allocation* a = MemoryArena::get().find(ptr);
  if (a == nullptr) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemGetAddressRange: %p is in no live allocation", ptr);
  if (pbase != nullptr) *pbase = reinterpret_cast<void*>(a->base.load());
  if (psize != nullptr) *psize = a->size.load();
  return ACL_SUCCESS;
}

// memType: bits of ACL_RT_MEM_TYPE_*. checkResult is 1 if all addresses are of that kind.
aclError api::aclrtCheckMemType(void** addrList, uint32_t size, uint32_t memType, uint32_t* checkResult, uint32_t reserve) {
  if (addrList == nullptr || checkResult == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtCheckMemType: %s is null", addrList == nullptr ? "addrList" : "checkResult");
  }
  if (const int code = check_fork("aclrtCheckMemType")) return code;
  const MemoryArena& arena = MemoryArena::get();
  *checkResult = std::all_of(addrList, addrList + size, [&](const void* p) {
    const Allocation* a = arena.find(p);
    return a != nullptr && a->device.load() >= 0 && (memType & ACL_RT_MEM_TYPE_DEV) != 0;
  });
  return ACL_SUCCESS;
}

}  // namespace softcann
