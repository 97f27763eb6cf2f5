#include "softcann/runtime/memory_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "acl/acl.h"
#include "softcann/core/error.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/fault_handler.h"
#include "softcann/runtime/host_memory.h"
#include "softcann/runtime/ipc.h"
#include "softcann/runtime/services.h"
#include "softcann/runtime/virtual_memory.h"

namespace softcann::runtime {
namespace {

constexpr size_t kVirtualSpan = size_t{1} << 42;
constexpr size_t kHostSpan = size_t{1} << 40;
constexpr size_t kBlocksPerChunk = kHugePage / kBlock;

Allocation mixed_chunk;  // in chunks_: look into blocks_

std::atomic<MemoryArena*> arena{nullptr};

void* reserve_addresses(size_t size, int protection) {
  void* p = mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

void* pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

}  // namespace

std::string readable(size_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  char text[32];
  snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

MemoryArena& MemoryArena::get() {
  static MemoryArena* const made = [] {
    auto* a = new MemoryArena;  // never destroyed: clients free memory in their static destructors
    arena.store(a, std::memory_order_release);
    install_fault_handler();
    return a;
  }();
  return *made;
}

MemoryArena* MemoryArena::existing() { return arena.load(std::memory_order_acquire); }

MemoryArena::MemoryArena() {
  const size_t devices = static_cast<size_t>(std::max(1, device_count()));
  device_span_ = 2 * config().memory;
  virtual_begin_ = devices * device_span_;
  note_device_use();

  // Both views start at a huge page, so that alignments hold in either. Tools that run programs in a smaller address space
  // (valgrind) leave less room: then the ranges beyond the devices' own shrink.
  char *addresses = nullptr, *writable = nullptr;
  size_t span = 0, virtual_span = 0, host_span = 0;
  for (const int shift : {0, 3, 6, 9}) {
    virtual_span = kVirtualSpan >> shift;
    host_span = kHostSpan >> shift;
    host_begin_ = virtual_begin_ + virtual_span;
    span = host_begin_ + host_span;
    const size_t chunks = span / kHugePage;
    const size_t sizes[] = {span + kHugePage, host_begin_ + kHugePage, chunks * sizeof(*chunks_), chunks * kBlocksPerChunk * sizeof(*blocks_)};
    void* parts[4];
    for (int i = 0; i < 4; ++i) parts[i] = reserve_addresses(sizes[i], i < 2 ? PROT_NONE : PROT_READ | PROT_WRITE);
    addresses = static_cast<char*>(parts[0]);
    writable = static_cast<char*>(parts[1]);
    chunks_ = static_cast<std::atomic<Allocation*>*>(parts[2]);
    blocks_ = static_cast<std::atomic<Allocation*>*>(parts[3]);
    if (addresses != nullptr && writable != nullptr && chunks_ != nullptr && blocks_ != nullptr) break;
    for (int i = 0; i < 4; ++i) {
      if (parts[i] != nullptr) munmap(parts[i], sizes[i]);
    }
    addresses = writable = nullptr;
  }
  fd_ = memfd_create("softcann", MFD_CLOEXEC);
  if (addresses == nullptr || writable == nullptr || chunks_ == nullptr || blocks_ == nullptr || fd_ < 0) return;
  addresses = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(addresses), kHugePage));
  writable = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(writable), kHugePage));
  if (ftruncate(fd_, static_cast<off_t>(kControlSize + virtual_begin_)) != 0) return;
  void* control = mmap(nullptr, kControlSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  void* memory = mmap(writable, virtual_begin_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd_, kControlSize);
  if (control == MAP_FAILED || memory == MAP_FAILED) return;
  // Neither views belong into a core dump or into a forked child, which cannot use the device.
  madvise(addresses, span, MADV_DONTDUMP);
  madvise(writable, host_begin_, MADV_DONTDUMP);
  madvise(writable, host_begin_, MADV_DONTFORK);

  control_ = static_cast<char*>(control);
  base_ = reinterpret_cast<uintptr_t>(addresses);
  distance_ = writable - addresses;
  span_ = span;
  for (size_t d = 0; d < devices; ++d) devices_[d].ranges.reset(d * device_span_, device_span_);
  virtual_.reset(virtual_begin_, virtual_span);
  host_.reset(host_begin_, host_span);
}

// ---- what is where ----

const Allocation* MemoryArena::lookup(size_t offset) const {
  const Allocation* allocation = chunks_[offset / kHugePage].load(std::memory_order_acquire);
  return allocation == &mixed_chunk ? blocks_[offset / kBlock].load(std::memory_order_acquire) : allocation;
}

const Allocation* MemoryArena::find(const void* address) const {
  const size_t offset = reinterpret_cast<uintptr_t>(address) - base_;
  return offset < span_ ? lookup(offset) : nullptr;
}

void MemoryArena::mark(const Allocation& allocation, Allocation* value) {
  const size_t begin = allocation.base.load(std::memory_order_relaxed) - base_;
  const size_t end = begin + allocation.room;
  for (size_t at = begin; at < end;) {
    auto& chunk = chunks_[at / kHugePage];
    const size_t chunk_end = (at / kHugePage + 1) * kHugePage;
    if (at % kHugePage == 0 && chunk_end <= end) {
      chunk.store(value, std::memory_order_release);
    } else {
      for (size_t block = at / kBlock; block < std::min(end, chunk_end) / kBlock; ++block) {
        blocks_[block].store(value, std::memory_order_release);
      }
      chunk.store(&mixed_chunk, std::memory_order_release);
    }
    at = chunk_end;
  }
}

Allocation* MemoryArena::add(uintptr_t base, size_t size, size_t room, int device, MemoryKind kind) {
  Allocation* record;
  if (spare_records_.empty()) {
    record = &records_.emplace_back();
  } else {
    record = spare_records_.back();
    spare_records_.pop_back();
  }
  record->base.store(base, std::memory_order_relaxed);
  record->size.store(size, std::memory_order_relaxed);
  record->device.store(device, std::memory_order_relaxed);
  record->kind.store(kind, std::memory_order_relaxed);
  record->huge.store(false, std::memory_order_relaxed);
  record->shared_with.store(0, std::memory_order_relaxed);
  record->room = room;
  record->owner = nullptr;
  record->reservation = 0;
  live_.emplace(base, record);
  mark(*record, record);
  return record;
}

void MemoryArena::remove(std::map<uintptr_t, Allocation*>::iterator it) {
  Allocation* record = it->second;
  FreedAllocation& freed = freed_[freed_count_.load(std::memory_order_relaxed) % kFreedKept];
  freed.base.store(it->first, std::memory_order_relaxed);
  freed.size.store(record->size.load(std::memory_order_relaxed), std::memory_order_relaxed);
  freed.device.store(record->device.load(std::memory_order_relaxed), std::memory_order_relaxed);
  freed_count_.fetch_add(1, std::memory_order_release);
  mark(*record, nullptr);
  live_.erase(it);
  spare_records_.push_back(record);
}

const FreedAllocation* MemoryArena::find_freed(const void* address) const {
  const size_t count = freed_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < std::min(count, kFreedKept); ++i) {
    const FreedAllocation& freed = freed_[(count - 1 - i) % kFreedKept];
    const size_t inside = reinterpret_cast<uintptr_t>(address) - freed.base.load(std::memory_order_relaxed);
    if (inside < std::max<size_t>(1, freed.size.load(std::memory_order_relaxed))) return &freed;
  }
  return nullptr;
}

// A sentence's end about an address that is not live: "%p ...".
std::string MemoryArena::explain(const void* address) const {
  char text[256];
  if (const FreedAllocation* freed = find_freed(address)) {
    snprintf(text, sizeof(text), "was freed already: it lies %zu bytes into the former allocation at %p (%zu bytes, %s %d)",
             reinterpret_cast<uintptr_t>(address) - freed->base.load(), pointer(freed->base.load()), freed->size.load(),
             freed->device.load() < 0 ? "host" : "device", std::max(0, freed->device.load()));
  } else if (owns(address)) {
    snprintf(text, sizeof(text), "is in no live allocation: it is past the end of one, or was never given out");
  } else if (owns_alias(address)) {
    snprintf(text, sizeof(text), "is softcann's own view of device memory; use the address that the allocation returned");
  } else {
    snprintf(text, sizeof(text), "is memory of the host that the device cannot use (aclrtMalloc, aclrtMallocHost and aclrtHostRegister give such)");
  }
  return text;
}

// ---- resolving ----

void* MemoryArena::resolve(const void* address, size_t bytes, int device, const char* user) const {
  const size_t offset = reinterpret_cast<uintptr_t>(address) - base_;
  if (__builtin_expect(offset < span_, 1)) {
    if (const Allocation* a = lookup(offset)) {
      const size_t inside = reinterpret_cast<uintptr_t>(address) - a->base.load(std::memory_order_relaxed);
      const size_t size = a->size.load(std::memory_order_relaxed);
      if (__builtin_expect(inside <= size && bytes <= size - inside, 1)) {
        const int owner = a->device.load(std::memory_order_relaxed);
        if (__builtin_expect(owner == device, 1)) return pointer(base_ + offset + static_cast<size_t>(distance_));
        if (owner < 0) return const_cast<void*>(address);
      }
    }
  }
  return resolve_slowly(address, bytes, device, user, false);
}

void* MemoryArena::resolve_slowly(const void* address, size_t bytes, int device, const char* user, bool any_device) const {
  static char nothing[kBlock];
  if (bytes == 0) return address == nullptr || owns(address) ? nothing : const_cast<void*>(address);
  if (address == nullptr) {
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the address is null, %zu bytes are needed there", user, bytes);
    return nullptr;
  }
  if (!owns(address)) {
    if (is_registered_host_memory(address, bytes)) return const_cast<void*>(address);
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p %s", user, address, explain(address).c_str());
    return nullptr;
  }
  const Allocation* const first = find(address);
  if (first == nullptr) {
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p %s", user, address, explain(address).c_str());
    return nullptr;
  }
  // Memory that was mapped in neighbouring pieces is one range.
  const auto begin = reinterpret_cast<uintptr_t>(address);
  uintptr_t reached = begin;
  for (const Allocation* a = first; a != nullptr && reached - begin < bytes;) {
    const int owner = a->device.load(std::memory_order_relaxed);
    const bool allowed = any_device || owner < 0 || owner == device || peer_access_enabled(device, owner) ||
                         (a->shared_with.load(std::memory_order_relaxed) >> device & 1) != 0;
    if (!allowed) {
      fail(ACL_ERROR_RT_PARAM_INVALID,
           "%s: %p is memory of device %d and used on device %d, which has no access to it (aclrtDeviceEnablePeerAccess)", user, address,
           owner, device);
      return nullptr;
    }
    const uintptr_t end = a->base.load(std::memory_order_relaxed) + a->size.load(std::memory_order_relaxed);
    if (end <= reached) break;
    reached = end;
    if (a->kind.load(std::memory_order_relaxed) != MemoryKind::mapped) break;
    a = find(pointer(end));
    if (a != nullptr && a->kind.load(std::memory_order_relaxed) != MemoryKind::mapped) break;
  }
  if (reached - begin < bytes) {
    const uintptr_t base = first->base.load(std::memory_order_relaxed);
    fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %zu bytes at %p are out of bounds: they begin %zu bytes into the allocation at %p, which has %zu bytes",
         user, bytes, address, begin - base, pointer(base), first->size.load(std::memory_order_relaxed));
    return nullptr;
  }
  return first->device.load(std::memory_order_relaxed) < 0 ? const_cast<void*>(address) : pointer(begin + static_cast<uintptr_t>(distance_));
}

char* MemoryArena::alias(const void* address, size_t bytes, const char* user, int* device) const {
  void* found = resolve_slowly(address, bytes, 0, user, true);
  const Allocation* a = found == nullptr ? nullptr : find(address);
  *device = a == nullptr ? -1 : a->device.load(std::memory_order_relaxed);
  return static_cast<char*>(found);
}

void* resolve(const void* address, size_t bytes, int device, const char* user) {
  return MemoryArena::get().resolve(address, bytes, device, user);
}

// ---- allocating ----

int MemoryArena::out_of_memory(int device, size_t size, const char* function) const {
  if (span_ == 0) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: softcann could not reserve addresses for its devices: %s; a limit on virtual memory "
                "(ulimit -v) must not be set", function, strerror(errno));
  }
  const DeviceSpace& space = devices_[device];
  const size_t total = config().memory, free = total - space.used;
  const size_t largest = std::min<size_t>(free, space.ranges.largest());
  return fail(ACL_ERROR_RT_MEMORY_ALLOCATION,
              "%s: device %d is out of memory: requested %zu bytes (%s), free %zu bytes (%s) of %zu bytes (%s), largest free block %zu bytes (%s); "
              "free memory that is not needed, or set SOFTCANN_MEMORY to a larger size", function, device, size, readable(size).c_str(),
              free, readable(free).c_str(), total, readable(total).c_str(), largest, readable(largest).c_str());
}

int MemoryArena::allocate(int device, size_t size, size_t room, size_t alignment, bool huge, const char* function, void** address) {
  std::lock_guard<std::mutex> lock(mutex_);
  DeviceSpace& space = devices_[device];
  if (span_ == 0 || room < size || room > config().memory - space.used) return out_of_memory(device, size, function);
  const auto offset = space.ranges.take(room, std::max(alignment, kBlock));
  if (!offset) return out_of_memory(device, size, function);
  space.used += room;
  space.peak = std::max(space.peak, space.used);
  add(base_ + *offset, size, room, device, MemoryKind::device)->huge.store(huge, std::memory_order_relaxed);
  *address = pointer(base_ + *offset);
  return ACL_SUCCESS;
}

int MemoryArena::allocate_host(size_t size, const char* function, void** address) {
  const size_t room = round_up(size, kPage);
  std::lock_guard<std::mutex> lock(mutex_);
  const auto offset = span_ == 0 || room < size ? std::nullopt : host_.take(room, kPage);
  if (!offset) return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: no room for %zu bytes (%s) of pinned host memory", function, size,
                           readable(size).c_str());
  void* p = pointer(base_ + *offset);
  if (mprotect(p, room, PROT_READ | PROT_WRITE) != 0) {
    host_.give(*offset, room);
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: the system has no %zu bytes (%s) for pinned host memory: %s", function, size,
                readable(size).c_str(), strerror(errno));
  }
  add(base_ + *offset, size, room, -1, MemoryKind::host);
  *address = p;
  return ACL_SUCCESS;
}

// Gives whole pages of the file back to the system.
void MemoryArena::discard(uint64_t begin, uint64_t end) {
  if (begin < end) {
    fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(kControlSize + begin), static_cast<off_t>(end - begin));
  }
}

// Nothing is at these addresses any more.
void MemoryArena::hide(uintptr_t address, size_t size) {
  mmap(pointer(address), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

int MemoryArena::release(void* address, MemoryKind kind, const char* function) {
  const char* const what = kind == MemoryKind::host ? "pinned host" : "device";
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = live_.find(reinterpret_cast<uintptr_t>(address));
  if (it == live_.end()) {
    if (const Allocation* inside = find(address)) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is not the start of an allocation: it lies %zu bytes into the one at %p (%zu bytes)",
                  function, address, reinterpret_cast<uintptr_t>(address) - inside->base.load(), pointer(inside->base.load()),
                  inside->size.load());
    }
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p %s", function, address, explain(address).c_str());
  }
  Allocation* record = it->second;
  const MemoryKind found = record->kind.load(std::memory_order_relaxed);
  if (found != kind) {
    static constexpr const char* kWays[] = {"aclrtFree", "aclrtFreeHost", "aclrtUnmapMem", "aclrtIpcMemClose"};
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is no %s memory of this kind; %s ends it", function, address, what,
                kWays[static_cast<int>(found)]);
  }
  const size_t room = record->room;
  const uint64_t offset = it->first - base_;
  remove(it);
  if (kind == MemoryKind::host) {
    hide(base_ + offset, room);
    host_.give(offset, room);
    return ACL_SUCCESS;
  }
  DeviceSpace& space = devices_[record->device.load(std::memory_order_relaxed)];
  const auto [begin, end] = space.ranges.give(offset, room);
  space.used -= room;
  withdraw_memory(kControlSize + offset, room);
  // A page that neighbours share goes when the last of them does.
  discard(std::max<uint64_t>(round_up(begin, kPage), offset / kPage * kPage),
          std::min<uint64_t>(end / kPage * kPage, round_up(offset + room, kPage)));
  return ACL_SUCCESS;
}

// ---- virtual memory ----

int MemoryArena::reserve(size_t size, size_t alignment, const void* wanted, const char* function, void** address) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::optional<uint64_t> offset;
  if (span_ != 0 && wanted != nullptr) {
    const uint64_t at = reinterpret_cast<uintptr_t>(wanted) - base_;
    if (at % kHugePage == 0 && at >= virtual_begin_ && at < host_begin_ && virtual_.take_at(at, size)) offset = at;
  }
  if (span_ != 0 && !offset) offset = virtual_.take(size, std::max(alignment, kHugePage));
  if (!offset) return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: no range of %zu bytes (%s) of addresses is left", function, size,
                           readable(size).c_str());
  reserved_.emplace(base_ + *offset, size);
  *address = pointer(base_ + *offset);
  return ACL_SUCCESS;
}

int MemoryArena::unreserve_locked(uintptr_t address, const char* function) {
  const auto it = reserved_.find(address);
  if (it == reserved_.end()) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is not the start of a reserved range, or was released already", function, pointer(address));
  }
  const auto mapped = live_.lower_bound(address);
  if (mapped != live_.end() && mapped->first < address + it->second) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: memory is still mapped at %p in the range at %p (aclrtUnmapMem)", function,
                pointer(mapped->first), pointer(address));
  }
  virtual_.give(address - base_, it->second);
  reserved_.erase(it);
  return ACL_SUCCESS;
}

int MemoryArena::unreserve(void* address, const char* function) {
  std::lock_guard<std::mutex> lock(mutex_);
  return unreserve_locked(reinterpret_cast<uintptr_t>(address), function);
}

int MemoryArena::take_extent(int device, size_t size, const char* function, uint64_t* file_offset) {
  std::lock_guard<std::mutex> lock(mutex_);
  DeviceSpace& space = devices_[device];
  if (span_ == 0 || size > config().memory - space.used) return out_of_memory(device, size, function);
  const auto offset = space.ranges.take(size, kHugePage);
  if (!offset) return out_of_memory(device, size, function);
  space.used += size;
  space.peak = std::max(space.peak, space.used);
  *file_offset = kControlSize + *offset;
  return ACL_SUCCESS;
}

void MemoryArena::give_extent(int device, uint64_t file_offset, size_t size) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t offset = file_offset - kControlSize;
  discard(offset, offset + size);
  devices_[device].ranges.give(offset, size);
  devices_[device].used -= size;
}

int MemoryArena::map(void* address, size_t size, int device, int fd, uint64_t file_offset, void* owner, const char* function) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto range = reserved_.upper_bound(at);
  if (range == reserved_.begin() || at + size > std::prev(range)->first + std::prev(range)->second) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the %zu bytes at %p are not inside a range of aclrtReserveMemAddress", function, size, address);
  }
  auto next = live_.lower_bound(at);
  if (next != live_.begin() && std::prev(next)->first + std::prev(next)->second->room > at) --next;
  if (next != live_.end() && next->first < at + size) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: memory is already mapped at %p (%zu bytes)", function, pointer(next->first), next->second->room);
  }
  if (mmap(pointer(at + static_cast<uintptr_t>(distance_)), size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
           static_cast<off_t>(file_offset)) == MAP_FAILED) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: the system cannot map %zu bytes: %s", function, size, strerror(errno));
  }
  madvise(pointer(at + static_cast<uintptr_t>(distance_)), size, MADV_DONTFORK);
  add(at, size, size, device, MemoryKind::mapped)->owner = owner;
  return ACL_SUCCESS;
}

int MemoryArena::unmap(void* address, const char* function, void** owner) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = live_.find(reinterpret_cast<uintptr_t>(address));
  if (it == live_.end() || it->second->kind.load() != MemoryKind::mapped) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: no memory is mapped with its start at %p (aclrtMapMem), or it was unmapped already", function,
                address);
  }
  hide(it->first + static_cast<uintptr_t>(distance_), it->second->room);
  *owner = it->second->owner;
  remove(it);
  return ACL_SUCCESS;
}

int MemoryArena::import(int fd, uint64_t file_offset, size_t size, int device, const char* function, void** address) {
  const size_t shift = file_offset % kPage;
  const size_t room = round_up(shift + size, kPage);
  void* range = nullptr;
  if (const int code = reserve(round_up(room, kHugePage), kHugePage, nullptr, function, &range)) return code;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(range);
  if (mmap(pointer(at + static_cast<uintptr_t>(distance_)), room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
           static_cast<off_t>(file_offset - shift)) == MAP_FAILED) {
    unreserve_locked(at, function);
    return fail(ACL_ERROR_RT_IPC_ERROR, "%s: the other process's memory cannot be mapped: %s", function, strerror(errno));
  }
  madvise(pointer(at + static_cast<uintptr_t>(distance_)), room, MADV_DONTFORK);
  add(at + shift, size, round_up(size, kBlock), device, MemoryKind::imported)->reservation = at;
  *address = pointer(at + shift);
  return ACL_SUCCESS;
}

int MemoryArena::release_import(void* address, const char* function) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = live_.find(reinterpret_cast<uintptr_t>(address));
  if (it == live_.end() || it->second->kind.load() != MemoryKind::imported) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is no imported memory, or was closed already", function, address);
  }
  const uintptr_t range = it->second->reservation;
  hide(range + static_cast<uintptr_t>(distance_), round_up(it->first - range + it->second->size.load(), kPage));
  remove(it);
  return unreserve_locked(range, function);
}

void MemoryArena::release_device(int device) {
  std::vector<std::pair<void*, MemoryKind>> ending;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [base, record] : live_) {
      if (record->device.load(std::memory_order_relaxed) == device) ending.emplace_back(pointer(base), record->kind.load());
    }
  }
  for (const auto& [address, kind] : ending) {
    if (kind == MemoryKind::mapped) {
      void* owner = nullptr;
      if (unmap(address, "aclrtResetDevice", &owner) == ACL_SUCCESS) drop_physical_reference(owner);
    } else if (kind == MemoryKind::imported) {
      release_import(address, "aclrtResetDevice");
    } else {
      release(address, kind, "aclrtResetDevice");
    }
  }
}

// ---- figures ----

size_t MemoryArena::used(int device) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return devices_[device].used;
}

size_t MemoryArena::peak(int device) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return devices_[device].peak;
}

size_t MemoryArena::largest_free(int device) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::min<size_t>(config().memory - devices_[device].used, devices_[device].ranges.largest());
}

uint64_t MemoryArena::file_offset(const void* address) const { return kControlSize + (reinterpret_cast<uintptr_t>(address) - base_); }

}  // namespace softcann::runtime
