#include "softcann/runtime/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "acl/acl.h"
#include "softcann/core/error.h"
#include "softcann/runtime/config.h"
#include "softcann/runtime/services.h"

namespace softcann::runtime {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kUnit = 512;                       // smallest block, as on the device
constexpr size_t kVirtualSpan = size_t{1} << 40;    // addresses for aclrtReserveMemAddress and imports

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

}  // namespace

Arena& Arena::get() {
  static Arena* arena = new Arena;  // leaked: memory is freed by clients' static destructors too
  return *arena;
}

Arena::Arena() {
  device_span_ = config().memory;
  const size_t devices = static_cast<size_t>(std::max(1, device_count()));
  span_ = devices * device_span_ + kVirtualSpan;
  void* handed_out = mmap(nullptr, span_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void* alias = mmap(nullptr, span_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  fd_ = memfd_create("softcann", MFD_CLOEXEC);
  if (handed_out == MAP_FAILED || alias == MAP_FAILED || fd_ < 0 ||
      ftruncate(fd_, static_cast<off_t>(devices * device_span_)) != 0 ||
      mmap(alias, devices * device_span_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd_, 0) == MAP_FAILED) {
    span_ = 0;  // every allocation then answers that there is no memory
    return;
  }
  base_ = reinterpret_cast<uintptr_t>(handed_out);
  alias_base_ = static_cast<char*>(alias);
  for (size_t d = 0; d < devices; ++d) devices_[d].free[d * device_span_] = device_span_;
  virtual_.free[devices * device_span_] = kVirtualSpan;
  install_fault_handler();
}

bool Arena::take(Space& space, size_t size, size_t alignment, uint64_t* offset) {
  for (auto it = space.free.begin(); it != space.free.end(); ++it) {
    const uint64_t at = round_up(it->first, alignment);
    const uint64_t end = it->first + it->second;
    if (at + size > end) continue;
    const uint64_t before = at - it->first;
    if (before != 0) it->second = before;
    else space.free.erase(it);
    if (at + size < end) space.free[at + size] = end - at - size;
    space.used += size;
    *offset = at;
    return true;
  }
  return false;
}

void Arena::give(Space& space, uint64_t offset, size_t size) {
  space.used -= size;
  auto next = space.free.lower_bound(offset);
  if (next != space.free.end() && offset + size == next->first) {
    size += next->second;
    next = space.free.erase(next);
  }
  if (next != space.free.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      previous->second += size;
      return;
    }
  }
  space.free[offset] = size;
}

int Arena::allocate(int device, size_t size, size_t alignment, const char* function, void** address) {
  const size_t room = round_up(size, kUnit);
  std::unique_lock lock(mutex_);
  uint64_t offset;
  if (span_ == 0 || room < size || !take(devices_[device], room, std::max(alignment, kUnit), &offset)) {
    const size_t free = device_span_ - devices_[device].used;
    lock.unlock();
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION,
                "%s: device %d has no room for %zu bytes: %zu bytes are free of %zu, the largest free block is %zu bytes",
                function, device, size, free, device_span_, largest_free(device));
  }
  const uintptr_t at = base_ + offset;
  live_[at] = {at, size, room, device, MemoryKind::device, alias_base_ + offset};
  *address = reinterpret_cast<void*>(at);
  return ACL_SUCCESS;
}

int Arena::allocate_host(size_t size, const char* function, void** address) {
  const size_t room = round_up(std::max<size_t>(size, 1), kPage);
  void* p = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: the host has no room for %zu bytes", function, size);
  }
  std::unique_lock lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(p);
  live_[at] = {at, size, room, -1, MemoryKind::host, static_cast<char*>(p)};
  *address = p;
  return ACL_SUCCESS;
}

int Arena::release(void* address, MemoryKind kind, const char* function) {
  std::unique_lock lock(mutex_);
  const auto it = live_.find(reinterpret_cast<uintptr_t>(address));
  if (it == live_.end() || it->second.kind != kind) {
    Allocation inside{};
    lock.unlock();
    if (find(address, &inside) && inside.base != reinterpret_cast<uintptr_t>(address)) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is not the start of an allocation but lies %zu bytes into %p (%zu bytes)", function,
                  address, reinterpret_cast<uintptr_t>(address) - inside.base, reinterpret_cast<void*>(inside.base), inside.size);
    }
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is no live %s allocation: it was freed already or never allocated", function, address,
                kind == MemoryKind::host ? "host" : "device");
  }
  const Allocation a = it->second;
  live_.erase(it);
  if (kind == MemoryKind::host) {
    munmap(a.alias, a.room);
  } else {
    const uint64_t offset = a.base - base_;
    // Whole pages go back to the machine; a page that a neighbour uses stays.
    const uint64_t first = round_up(offset, kPage), last = (offset + a.room) / kPage * kPage;
    if (last > first) fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first), static_cast<off_t>(last - first));
    give(devices_[a.device], offset, a.room);
  }
  return ACL_SUCCESS;
}

void Arena::release_device(int device) {
  std::unique_lock lock(mutex_);
  for (auto it = live_.begin(); it != live_.end();) {
    const Allocation& a = it->second;
    if (a.device != device) {
      ++it;
      continue;
    }
    if (a.kind == MemoryKind::device) {
      give(devices_[device], a.base - base_, a.room);
    } else {
      mmap(reinterpret_cast<char*>(a.alias), a.room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    }
    it = live_.erase(it);
  }
  const uint64_t begin = static_cast<uint64_t>(device) * device_span_;
  if (devices_[device].used == 0) {
    fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin), static_cast<off_t>(device_span_));
  }
}

bool Arena::find(const void* address, Allocation* found) const {
  const auto at = reinterpret_cast<uintptr_t>(address);
  std::shared_lock lock(mutex_);
  auto it = live_.upper_bound(at);
  if (it == live_.begin()) return false;
  --it;
  if (at >= it->second.base + std::max<size_t>(it->second.size, 1)) return false;
  *found = it->second;
  return true;
}

// Pieces mapped one behind the other are one memory to their users.
size_t Arena::mapped_bytes(const Allocation& first) const {
  std::shared_lock lock(mutex_);
  size_t bytes = first.size;
  for (auto it = live_.find(first.base + bytes); it != live_.end(); it = live_.find(first.base + bytes)) {
    if (it->second.kind != MemoryKind::mapped || it->second.device != first.device) break;
    bytes += it->second.size;
  }
  return bytes;
}

void* Arena::resolve(const void* address, size_t bytes, int device, const char* user) const {
  Allocation a;
  if (!find(address, &a)) {
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is not memory of a device: it was freed, or never allocated", user, address);
    return nullptr;
  }
  const size_t offset = reinterpret_cast<uintptr_t>(address) - a.base;
  if (offset + bytes > a.size && a.kind == MemoryKind::mapped) a.size = mapped_bytes(a);
  if (offset + bytes > a.size) {
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %zu bytes at %p do not fit: the allocation at %p has %zu bytes", user, bytes, address,
         reinterpret_cast<void*>(a.base), a.size);
    return nullptr;
  }
  if (a.device >= 0 && device >= 0 && a.device != device && !peer_access_enabled(device, a.device)) {
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is memory of device %d, used on device %d without peer access (aclrtDeviceEnablePeerAccess)",
         user, address, a.device, device);
    return nullptr;
  }
  return a.alias + offset;
}

int Arena::reserve(size_t size, const char* function, void** address) {
  std::unique_lock lock(mutex_);
  uint64_t offset;
  if (span_ == 0 || !take(virtual_, size, size_t{2} << 20, &offset)) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: no %zu bytes of addresses are left", function, size);
  }
  reserved_[base_ + offset] = size;
  *address = reinterpret_cast<void*>(base_ + offset);
  return ACL_SUCCESS;
}

int Arena::unreserve(void* address, const char* function) {
  std::unique_lock lock(mutex_);
  const auto it = reserved_.find(reinterpret_cast<uintptr_t>(address));
  if (it == reserved_.end()) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p was not reserved", function, address);
  const auto inside = live_.lower_bound(it->first);
  if (inside != live_.end() && inside->first < it->first + it->second) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: memory is still mapped at %p", function, reinterpret_cast<void*>(inside->first));
  }
  give(virtual_, it->first - base_, it->second);
  reserved_.erase(it);
  return ACL_SUCCESS;
}

int Arena::take_extent(int device, size_t size, uint64_t* offset) {
  std::unique_lock lock(mutex_);
  if (span_ == 0 || !take(devices_[device], size, size_t{2} << 20, offset)) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclrtMallocPhysical: device %d has no room for %zu bytes: %zu of %zu are in use", device,
                size, devices_[device].used, device_span_);
  }
  return ACL_SUCCESS;
}

void Arena::give_extent(int device, uint64_t offset, size_t size) {
  std::unique_lock lock(mutex_);
  fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(size));
  give(devices_[device], offset, size);
}

int Arena::map(void* address, size_t size, int device, int fd, uint64_t offset, const char* function) {
  std::unique_lock lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto range = reserved_.upper_bound(at);
  if (range == reserved_.begin() || at + size > std::prev(range)->first + std::prev(range)->second) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p with %zu bytes is not inside a reserved range", function, address, size);
  }
  const auto next = live_.lower_bound(at);
  if (next != live_.end() && next->first < at + size) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: memory is already mapped at %p", function, reinterpret_cast<void*>(next->first));
  }
  char* alias = alias_base_ + (at - base_);
  if (mmap(alias, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, static_cast<off_t>(offset)) == MAP_FAILED) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: the machine cannot map %zu bytes", function, size);
  }
  live_[at] = {at, size, size, device, MemoryKind::mapped, alias};
  return ACL_SUCCESS;
}

int Arena::unmap(void* address, const char* function) {
  std::unique_lock lock(mutex_);
  const auto it = live_.find(reinterpret_cast<uintptr_t>(address));
  if (it == live_.end() || (it->second.kind != MemoryKind::mapped && it->second.kind != MemoryKind::imported)) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: nothing is mapped at %p", function, address);
  }
  mmap(it->second.alias, it->second.room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  live_.erase(it);
  return ACL_SUCCESS;
}

int Arena::import(int fd, uint64_t offset, size_t size, int device, const char* function, void** address) {
  const uint64_t page_offset = offset / kPage * kPage;
  const size_t shift = offset - page_offset;
  const int status = reserve(round_up(size + shift, size_t{2} << 20), function, address);
  if (status != ACL_SUCCESS) return status;
  const auto at = reinterpret_cast<uintptr_t>(*address);
  char* alias = alias_base_ + (at - base_);
  std::unique_lock lock(mutex_);
  if (mmap(alias, round_up(size + shift, kPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
           static_cast<off_t>(page_offset)) == MAP_FAILED) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: the machine cannot map the other process's memory", function);
  }
  live_[at + shift] = {at + shift, size, round_up(size + shift, kPage), device, MemoryKind::imported, alias + shift};
  *address = reinterpret_cast<void*>(at + shift);
  return ACL_SUCCESS;
}

size_t Arena::used(int device) const {
  std::shared_lock lock(mutex_);
  return devices_[device].used;
}

size_t Arena::largest_free(int device) const {
  std::shared_lock lock(mutex_);
  size_t largest = 0;
  for (const auto& [offset, size] : devices_[device].free) largest = std::max<size_t>(largest, size);
  return largest;
}

uint64_t Arena::offset_of(const Allocation& a) const { return a.base - base_; }

size_t Arena::describe(uintptr_t address, char* text, size_t room) const noexcept {
  // The process is about to die in the thread that faulted; that thread holds no lock of this object.
  auto it = live_.upper_bound(address);
  if (it != live_.begin()) {
    const Allocation& a = std::prev(it)->second;
    if (address < a.base + a.room) {
      return static_cast<size_t>(snprintf(text, room, "%zu bytes into the allocation at 0x%zx of %zu bytes on device %d", address - a.base,
                                          a.base, a.size, a.device));
    }
  }
  return static_cast<size_t>(snprintf(text, room, "in no live allocation (freed, or never allocated)"));
}

void* resolve(const void* address, size_t bytes, int device, const char* user) {
  return Arena::get().resolve(address, bytes, device, user);
}

}  // namespace softcann::runtime
