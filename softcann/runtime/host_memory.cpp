#include "softcann/runtime/host_memory.h"

#include <cstdint>
#include <map>
#include <shared_mutex>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/memory.h"
#include "softcann/runtime/memory_arena.h"

namespace softcann::runtime {
namespace {

// Memory of the client that devices may use in place: base -> size.
std::shared_mutex registered_mutex;
std::map<uintptr_t, size_t>& registered() {
  static auto* ranges = new std::map<uintptr_t, size_t>;
  return *ranges;
}
std::atomic<size_t> registered_count{0};

// The registered range around an address. With the lock held.
std::map<uintptr_t, size_t>::const_iterator around(uintptr_t address) {
  auto it = registered().upper_bound(address);
  if (it == registered().begin()) return registered().end();
  --it;
  return address - it->first < it->second ? it : registered().end();
}

}  // namespace

bool is_registered_host_memory(const void* address, size_t bytes) {
  if (registered_count.load(std::memory_order_relaxed) == 0) return false;
  std::shared_lock<std::shared_mutex> lock(registered_mutex);
  const auto it = around(reinterpret_cast<uintptr_t>(address));
  return it != registered().end() && bytes <= it->first + it->second - reinterpret_cast<uintptr_t>(address);
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

aclError allocate_host(const char* function, void** hostPtr, size_t size) {
  if (hostPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: hostPtr is null", function);
  if (size == 0) return fail(ACL_ERROR_INVALID_PARAM, "%s: size is 0", function);
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  return MemoryArena::get().allocate_host(size, function, hostPtr);
}

aclError free_host(const char* function, void* hostPtr, bool wait) {
  if (hostPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: hostPtr is null", function);
  if (const int code = check_fork(function)) return code;
  // Kernels and copies that still use it would find it gone.
  if (wait) {
    for (int d = 0; d < device_count(); ++d) wait_for_device(d);
  }
  return MemoryArena::get().release(hostPtr, MemoryKind::host, function);
}

aclError register_host(const char* function, void* ptr, uint64_t size) {
  if (ptr == nullptr || size == 0) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s", function, ptr == nullptr ? "ptr is null" : "size is 0");
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  const auto begin = reinterpret_cast<uintptr_t>(ptr);
  const MemoryArena* arena = MemoryArena::existing();
  if (arena != nullptr && (arena->owns(ptr) || arena->owns_alias(ptr))) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p was given out by softcann; only the client's own host memory can be registered", function, ptr);
  }
  std::unique_lock<std::shared_mutex> lock(registered_mutex);
  const auto next = registered().lower_bound(begin);
  if (around(begin) != registered().end() || (next != registered().end() && next->first - begin < size)) {
    return fail(ACL_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "%s: a part of the %llu bytes at %p is registered already", function,
                static_cast<unsigned long long>(size), ptr);
  }
  registered().emplace(begin, size);
  registered_count.store(registered().size(), std::memory_order_relaxed);
  return ACL_SUCCESS;
}

}  // namespace

aclError api::aclrtMallocHost(void** hostPtr, size_t size) { return allocate_host("aclrtMallocHost", hostPtr, size); }

aclError api::aclrtMallocHostWithCfg(void** ptr, uint64_t size, aclrtMallocConfig* cfg) {
  if (cfg != nullptr && cfg->numAttrs != 0 && cfg->attrs == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocHostWithCfg: cfg->attrs is null, cfg->numAttrs is %zu", cfg->numAttrs);
  }
  return allocate_host("aclrtMallocHostWithCfg", ptr, size);
}

aclError api::aclrtFreeHost(void* hostPtr) { return free_host("aclrtFreeHost", hostPtr, true); }
aclError api::aclrtFreeHostWithDevSync(void* hostPtr) { return free_host("aclrtFreeHostWithDevSync", hostPtr, true); }

aclError api::aclrtHostRegister(void* ptr, uint64_t size, aclrtHostRegisterType type, void** devPtr) {
  if (devPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtHostRegister: devPtr is null");
  if (type != ACL_HOST_REGISTER_MAPPED && type != ACL_HOST_REGISTER_READONLY) {
    return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "aclrtHostRegister: type is %d, softcann supports ACL_HOST_REGISTER_MAPPED (0) and "
                "ACL_HOST_REGISTER_READONLY (8)", static_cast<int>(type));
  }
  if (const int code = register_host("aclrtHostRegister", ptr, size)) return code;
  *devPtr = ptr;
  return ACL_SUCCESS;
}

aclError api::aclrtHostRegisterV2(void* ptr, uint64_t size, uint32_t flag) {
  if ((flag & ACL_HOST_REG_IOMEMORY) != 0) {
    return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "aclrtHostRegisterV2: ACL_HOST_REG_IOMEMORY is not supported by softcann");
  }
  return register_host("aclrtHostRegisterV2", ptr, size);
}

aclError api::aclrtHostUnregister(void* ptr) {
  if (ptr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtHostUnregister: ptr is null");
  if (const int code = check_fork("aclrtHostUnregister")) return code;
  for (int d = 0; d < device_count(); ++d) wait_for_device(d);
  std::unique_lock<std::shared_mutex> lock(registered_mutex);
  if (registered().erase(reinterpret_cast<uintptr_t>(ptr)) == 0) {
    return fail(ACL_ERROR_HOST_MEMORY_NOT_REGISTERED, "aclrtHostUnregister: %p is not the start of a registered range", ptr);
  }
  registered_count.store(registered().size(), std::memory_order_relaxed);
  return ACL_SUCCESS;
}

// Devices use host memory at its own address.
aclError api::aclrtHostGetDevicePointer(void* pHost, void** pDevice, uint32_t flag) {
  if (pHost == nullptr || pDevice == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtHostGetDevicePointer: %s is null", pHost == nullptr ? "pHost" : "pDevice");
  }
  if (const int code = check_fork("aclrtHostGetDevicePointer")) return code;
  const Allocation* a = MemoryArena::get().find(pHost);
  if (!is_registered_host_memory(pHost, 1) && (a == nullptr || a->kind.load() != MemoryKind::host)) {
    return fail(ACL_ERROR_HOST_MEMORY_NOT_REGISTERED, "aclrtHostGetDevicePointer: %p is neither of aclrtMallocHost nor registered", pHost);
  }
  *pDevice = pHost;
  return ACL_SUCCESS;
}

aclError api::aclrtHostMemMapCapabilities(uint32_t deviceId, aclrtHacType hacType, aclrtHostMemMapCapability* capabilities) {
  if (capabilities == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtHostMemMapCapabilities: capabilities is null");
  if (const int code = check_device(static_cast<int>(deviceId), "aclrtHostMemMapCapabilities")) return code;
  *capabilities = ACL_RT_HOST_MEM_MAP_SUPPORTED;
  return ACL_SUCCESS;
}

}  // namespace softcann
