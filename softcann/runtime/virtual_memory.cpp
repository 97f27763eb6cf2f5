// Ranges of addresses, physical memory, and mapping the one to the other.
#include "softcann/runtime/virtual_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/ipc.h"
#include "softcann/runtime/memory.h"
#include "softcann/runtime/memory_arena.h"

namespace softcann::runtime {
namespace {

struct Physical : SlotObject {
  int device = 0;
  size_t size = 0;
  int fd = -1;                          // -1: this process's memory file
  uint64_t file_offset = 0;
  aclrtPhysicalMemProp properties{};
  std::atomic<uint32_t> references{0};  // the handles and each mapping
  std::atomic<uint32_t> handles{0};     // aclrtMemRetainAllocationHandle gives the same handle out again
  std::atomic<bool> exported{false};
  ShareKey key;
};

using PhysicalSlots = Slots<Physical, size_t{1} << 18>;

PhysicalSlots& physicals() {
  static auto* slots = new PhysicalSlots;
  return *slots;
}

Physical* find_physical(const char* function, aclrtDrvMemHandle handle) {
  if (Physical* found = physicals().get(handle)) return found;
  fail(ACL_ERROR_RT_INVALID_HANDLE, "%s: handle %p does not exist: it was freed, its device was reset, or it never was one", function, handle);
  return nullptr;
}

// Memory ends when neither a handle nor a mapping is left.
void drop_reference(Physical* physical) {
  if (physical->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (physical->exported.exchange(false)) withdraw_record(physical->key);
  if (physical->fd >= 0) {
    close(physical->fd);
  } else {
    MemoryArena::get().give_extent(physical->device, physical->file_offset, physical->size);
  }
  physicals().give(physical);
}

Physical* make_physical(const char* function, int device, size_t size, int fd, uint64_t file_offset, const aclrtPhysicalMemProp& properties) {
  Physical* physical = physicals().take();
  if (physical == nullptr) {
    fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "%s: too many pieces of physical memory exist", function);
    return nullptr;
  }
  physical->device = device;
  physical->size = size;
  physical->fd = fd;
  physical->file_offset = file_offset;
  physical->properties = properties;
  physical->exported = false;
  physical->references = 1;
  physical->handles = 1;
  physical->live.store(true, std::memory_order_release);
  return physical;
}

int check_granularity(const char* function, const char* name, size_t value) {
  if (value != 0 && value % kHugePage == 0) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %s is %zu, allowed are multiples of %zu (aclrtMemGetAllocationGranularity)", function, name, value,
              kHugePage);
}

int check_alignment(const char* function, const char* name, const void* address) {
  if (address == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s is null", function, name);
  if (reinterpret_cast<uintptr_t>(address) % kHugePage == 0) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_ADDR_UNALIGNED, "%s: %s is %p, not a multiple of %zu", function, name, address, kHugePage);
}

}  // namespace

void drop_physical_reference(void* owner) { drop_reference(static_cast<Physical*>(owner)); }

// Its mappings are gone already.
void retire_physical_memory_of(int device) {
  physicals().for_each_live([&](Physical& physical) {
    bool live = true;
    if (physical.device == device && physical.live.compare_exchange_strong(live, false)) {
      physical.references.store(1);
      drop_reference(&physical);
    }
  });
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

aclError reserve(const char* function, void** virPtr, size_t size, size_t alignment, void* expectPtr, uint64_t flags) {
  if (virPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: virPtr is null", function);
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (const int code = check_granularity(function, "size", size)) return code;
  if ((alignment & (alignment - 1)) != 0) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: alignment is %zu, allowed are 0 and powers of two", function, alignment);
  }
  if (flags > 1) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: flags is %llu, allowed are 0 and 1 (page type)", function, static_cast<unsigned long long>(flags));
  }
  return MemoryArena::get().reserve(size, alignment, expectPtr, function, virPtr);
}

aclError allocate(const char* function, aclrtDrvMemHandle* handle, size_t size, const aclrtPhysicalMemProp* prop, uint64_t flags) {
  if (handle == nullptr || prop == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s is null", function, handle == nullptr ? "handle" : "prop");
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (flags != 0) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: flags is %llu, allowed is 0", function, static_cast<unsigned long long>(flags));
  if (const int code = check_granularity(function, "size", size)) return code;
  if (prop->allocationType != ACL_MEM_ALLOCATION_TYPE_PINNED) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: prop->allocationType is %d, allowed is ACL_MEM_ALLOCATION_TYPE_PINNED (0)", function,
                static_cast<int>(prop->allocationType));
  }
  if (prop->location.type != ACL_MEM_LOCATION_TYPE_DEVICE) {
    return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "%s: prop->location.type is %d, softcann supports ACL_MEM_LOCATION_TYPE_DEVICE (1)", function,
                static_cast<int>(prop->location.type));
  }
  const int device = static_cast<int>(prop->location.id);
  if (const int code = check_device(device, function)) return code;
  uint64_t file_offset = 0;
  MemoryArena& arena = MemoryArena::get();
  if (const int code = arena.take_extent(device, size, function, &file_offset)) return code;
  Physical* made = make_physical(function, device, size, -1, file_offset, *prop);
  if (made == nullptr) {
    arena.give_extent(device, file_offset, size);
    return ACL_ERROR_RT_RESOURCE_ALLOC_FAIL;
  }
  *handle = made;
  return ACL_SUCCESS;
}

// The key of physical memory: the same one each time.
aclError export_physical(const char* function, aclrtDrvMemHandle handle, uint64_t flags, ShareKey* key) {
  if (const int code = check_fork(function)) return code;
  Physical* physical = find_physical(function, handle);
  if (physical == nullptr) return ACL_ERROR_RT_INVALID_HANDLE;
  if (physical->fd >= 0) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: handle %p was imported; only its owner can export it", function, handle);
  const bool any_process = (flags & ACL_RT_VMM_EXPORT_FLAG_DISABLE_PID_VALIDATION) != 0;
  if (!physical->exported.load()) {
    if (const int code = export_record(function, Shared::physical, physical->file_offset, physical->size, physical->device, any_process,
                                       &physical->key)) {
      return code;
    }
    physical->exported = true;
  }
  *key = physical->key;
  return ACL_SUCCESS;
}

aclError import_physical(const char* function, const ShareKey& key, int device, aclrtDrvMemHandle* handle) {
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: handle is null", function);
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (device < 0) device = context->device;
  if (const int code = check_device(device, function)) return code;
  int fd = -1;
  ExportRecord record{};
  if (const int code = open_record(function, key, Shared::physical, &fd, &record, nullptr)) return code;
  aclrtPhysicalMemProp properties{};
  properties.memAttr = ACL_HBM_MEM_HUGE;
  properties.location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = static_cast<uint32_t>(device);
  Physical* made = make_physical(function, device, record.size, fd, record.file_offset, properties);
  if (made == nullptr) {
    close(fd);
    return ACL_ERROR_RT_RESOURCE_ALLOC_FAIL;
  }
  *handle = made;
  return ACL_SUCCESS;
}

// Shareable handles of the second kind are a number, or a block of bytes.
aclError read_shareable(const char* function, const void* shareable, aclrtMemSharedHandleType type, ShareKey* key) {
  if (shareable == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: shareableHandle is null", function);
  switch (type) {
    case ACL_MEM_SHARE_HANDLE_TYPE_DEFAULT: {
      uint64_t packed;
      memcpy(&packed, shareable, sizeof(packed));
      *key = ShareKey::unpack(packed);
      return ACL_SUCCESS;
    }
    case ACL_MEM_SHARE_HANDLE_TYPE_FABRIC:
      if (ShareKey::parse(static_cast<const char*>(shareable), key)) return ACL_SUCCESS;
      return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the shareable handle is not one of softcann", function);
  }
  return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: shareType is %d, allowed are 1 and 2", function, static_cast<int>(type));
}

// Mappings in [virPtr, virPtr + size): f(allocation).
template <class F>
aclError each_mapping(const char* function, void* virPtr, size_t size, F f) {
  if (const int code = check_fork(function)) return code;
  const MemoryArena& arena = MemoryArena::get();
  const auto begin = reinterpret_cast<uintptr_t>(virPtr);
  for (uintptr_t at = begin; at - begin < size;) {
    auto* a = const_cast<Allocation*>(arena.find(reinterpret_cast<void*>(at)));
    if (a == nullptr || a->kind.load() != MemoryKind::mapped) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: no memory is mapped at %p", function, reinterpret_cast<void*>(at));
    }
    f(*a);
    at = a->base.load() + a->size.load();
  }
  return ACL_SUCCESS;
}

}  // namespace

aclError api::aclrtReserveMemAddress(void** virPtr, size_t size, size_t alignment, void* expectPtr, uint64_t flags) {
  return reserve("aclrtReserveMemAddress", virPtr, size, alignment, expectPtr, flags);
}
aclError api::aclrtReserveMemAddressNoUCMemory(void** virPtr, size_t size, size_t alignment, void* expectPtr, uint64_t flags) {
  return reserve("aclrtReserveMemAddressNoUCMemory", virPtr, size, alignment, expectPtr, flags);
}

aclError api::aclrtReleaseMemAddress(void* virPtr) {
  if (virPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtReleaseMemAddress: virPtr is null");
  if (const int code = check_fork("aclrtReleaseMemAddress")) return code;
  return MemoryArena::get().unreserve(virPtr, "aclrtReleaseMemAddress");
}

aclError api::aclrtMallocPhysical(aclrtDrvMemHandle* handle, size_t size, const aclrtPhysicalMemProp* prop, uint64_t flags) {
  return allocate("aclrtMallocPhysical", handle, size, prop, flags);
}

// A mapping keeps the memory; the handle is gone.
aclError api::aclrtFreePhysical(aclrtDrvMemHandle handle) {
  if (const int code = check_fork("aclrtFreePhysical")) return code;
  Physical* physical = find_physical("aclrtFreePhysical", handle);
  if (physical == nullptr) return ACL_ERROR_RT_INVALID_HANDLE;
  if (physical->handles.fetch_sub(1) == 1) physical->live.store(false, std::memory_order_release);
  drop_reference(physical);
  return ACL_SUCCESS;
}

aclError api::aclrtMapMem(void* virPtr, size_t size, size_t offset, aclrtDrvMemHandle handle, uint64_t flags) {
  constexpr const char* kName = "aclrtMapMem";
  if (const int code = check_fork(kName)) return code;
  if (const int code = check_alignment(kName, "virPtr", virPtr)) return code;
  if (const int code = check_granularity(kName, "size", size)) return code;
  Physical* physical = find_physical(kName, handle);
  if (physical == nullptr) return ACL_ERROR_RT_INVALID_HANDLE;
  if (offset % kHugePage != 0 || offset > physical->size || size > physical->size - offset) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: offset %zu and size %zu are not inside the %zu bytes of the handle, in steps of %zu", kName, offset,
                size, physical->size, kHugePage);
  }
  if (flags != 0) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: flags is %llu, allowed is 0", kName, static_cast<unsigned long long>(flags));
  MemoryArena& arena = MemoryArena::get();
  const int fd = physical->fd >= 0 ? physical->fd : arena.fd();
  physical->references.fetch_add(1, std::memory_order_relaxed);
  const int code = arena.map(virPtr, size, physical->device, fd, physical->file_offset + offset, physical, kName);
  if (code != ACL_SUCCESS) drop_reference(physical);
  return code;
}

aclError api::aclrtUnmapMem(void* virPtr) {
  if (virPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtUnmapMem: virPtr is null");
  if (const int code = check_fork("aclrtUnmapMem")) return code;
  MemoryArena& arena = MemoryArena::get();
  const Allocation* a = arena.find(virPtr);
  if (a != nullptr) wait_for_device(a->device.load());
  void* owner = nullptr;
  if (const int code = arena.unmap(virPtr, "aclrtUnmapMem", &owner)) return code;
  drop_physical_reference(owner);
  return ACL_SUCCESS;
}

aclError api::aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp* prop, aclrtMemGranularityOptions option, size_t* granularity) {
  if (granularity == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtMemGetAllocationGranularity: granularity is null");
  if (option != ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM && option != ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtMemGetAllocationGranularity: option is %d, allowed are 0 and 1", static_cast<int>(option));
  }
  *granularity = kHugePage;
  return ACL_SUCCESS;
}

aclError api::aclrtMemGetAllocationPropertiesFromHandle(aclrtDrvMemHandle handle, aclrtPhysicalMemProp* prop) {
  if (prop == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtMemGetAllocationPropertiesFromHandle: prop is null");
  Physical* physical = find_physical("aclrtMemGetAllocationPropertiesFromHandle", handle);
  if (physical == nullptr) return ACL_ERROR_RT_INVALID_HANDLE;
  *prop = physical->properties;
  return ACL_SUCCESS;
}

aclError api::aclrtMemRetainAllocationHandle(void* virPtr, aclrtDrvMemHandle* handle) {
  constexpr const char* kName = "aclrtMemRetainAllocationHandle";
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: handle is null", kName);
  return each_mapping(kName, virPtr, 1, [&](Allocation& a) {
    auto* physical = static_cast<Physical*>(a.owner);
    physical->references.fetch_add(1, std::memory_order_relaxed);
    physical->handles.fetch_add(1, std::memory_order_relaxed);
    physical->live.store(true, std::memory_order_release);
    *handle = physical;
  });
}

// Lets further devices use mapped memory; its own always may.
aclError api::aclrtMemSetAccess(void* virPtr, size_t size, aclrtMemAccessDesc* desc, size_t count) {
  constexpr const char* kName = "aclrtMemSetAccess";
  if (virPtr == nullptr || desc == nullptr || count == 0 || size == 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: virPtr and desc must not be null, size and count not 0", kName);
  }
  uint64_t allow = 0, deny = 0;
  for (size_t i = 0; i < count; ++i) {
    if (desc[i].location.type != ACL_MEM_LOCATION_TYPE_DEVICE) {
      return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "%s: desc[%zu].location.type is %d, softcann supports devices (1)", kName, i,
                  static_cast<int>(desc[i].location.type));
    }
    if (const int code = check_device(static_cast<int>(desc[i].location.id), kName)) return code;
    (desc[i].flags == ACL_RT_MEM_ACCESS_FLAGS_NONE ? deny : allow) |= uint64_t{1} << desc[i].location.id;
  }
  return each_mapping(kName, virPtr, size, [=](Allocation& a) { a.shared_with.store((a.shared_with.load() | allow) & ~deny); });
}

aclError api::aclrtMemGetAccess(void* virPtr, aclrtMemLocation* location, uint64_t* flag) {
  constexpr const char* kName = "aclrtMemGetAccess";
  if (location == nullptr || flag == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s is null", kName, location == nullptr ? "location" : "flag");
  return each_mapping(kName, virPtr, 1, [=](Allocation& a) {
    const bool allowed = location->type == ACL_MEM_LOCATION_TYPE_DEVICE && location->id < kMaxDevices &&
                         (a.device.load() == static_cast<int>(location->id) || (a.shared_with.load() >> location->id & 1) != 0);
    *flag = allowed ? ACL_RT_MEM_ACCESS_FLAGS_READWRITE : ACL_RT_MEM_ACCESS_FLAGS_NONE;
  });
}

aclError api::aclrtMemExportToShareableHandle(aclrtDrvMemHandle handle, aclrtMemHandleType handleType, uint64_t flags, uint64_t* shareableHandle) {
  constexpr const char* kName = "aclrtMemExportToShareableHandle";
  if (shareableHandle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: shareableHandle is null", kName);
  if (handleType != ACL_MEM_HANDLE_TYPE_NONE) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: handleType is %d, allowed is ACL_MEM_HANDLE_TYPE_NONE (0)", kName, static_cast<int>(handleType));
  }
  ShareKey key;
  if (const int code = export_physical(kName, handle, flags, &key)) return code;
  *shareableHandle = key.packed();
  return ACL_SUCCESS;
}

aclError api::aclrtMemExportToShareableHandleV2(aclrtDrvMemHandle handle, uint64_t flags, aclrtMemSharedHandleType shareType, void* shareableHandle) {
  constexpr const char* kName = "aclrtMemExportToShareableHandleV2";
  if (shareableHandle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: shareableHandle is null", kName);
  ShareKey key;
  if (const int code = export_physical(kName, handle, flags, &key)) return code;
  if (shareType == ACL_MEM_SHARE_HANDLE_TYPE_FABRIC) {
    auto* fabric = static_cast<aclrtMemFabricHandle*>(shareableHandle);
    *fabric = {};
    return write_key(kName, key, reinterpret_cast<char*>(fabric->data), sizeof(fabric->data));
  }
  const uint64_t packed = key.packed();
  memcpy(shareableHandle, &packed, sizeof(packed));
  return ACL_SUCCESS;
}

aclError api::aclrtMemImportFromShareableHandle(uint64_t shareableHandle, int32_t deviceId, aclrtDrvMemHandle* handle) {
  constexpr const char* kName = "aclrtMemImportFromShareableHandle";
  if (const int code = check_device(deviceId, kName)) return code;
  return import_physical(kName, ShareKey::unpack(shareableHandle), deviceId, handle);
}

aclError api::aclrtMemImportFromShareableHandleV2(void* shareableHandle, aclrtMemSharedHandleType shareType, uint64_t flags,
                                                  aclrtDrvMemHandle* handle) {
  constexpr const char* kName = "aclrtMemImportFromShareableHandleV2";
  ShareKey key;
  if (const int code = read_shareable(kName, shareableHandle, shareType, &key)) return code;
  return import_physical(kName, key, -1, handle);
}

aclError api::aclrtMemSetPidToShareableHandle(uint64_t shareableHandle, int32_t* pid, size_t pidNum) {
  return allow_pids("aclrtMemSetPidToShareableHandle", ShareKey::unpack(shareableHandle), pid, pidNum);
}

aclError api::aclrtMemSetPidToShareableHandleV2(void* shareableHandle, aclrtMemSharedHandleType shareType, int32_t* pid, size_t pidNum) {
  constexpr const char* kName = "aclrtMemSetPidToShareableHandleV2";
  ShareKey key;
  if (const int code = read_shareable(kName, shareableHandle, shareType, &key)) return code;
  return allow_pids(kName, key, pid, pidNum);
}

}  // namespace softcann
