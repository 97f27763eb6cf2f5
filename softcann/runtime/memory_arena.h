// The memory of all devices: one memory file, and two views of it. Clients get addresses in a range that nothing can touch
// (PROT_NONE); kernels and copies work in a second, writable view at a constant distance. Pages are committed when they
// are first written and given back when they are freed.
//
// Addresses are [device 0][device 1]...[virtual memory and imports][pinned host memory]; pinned memory is its own alias.
// The address space of a device is twice its memory, so that fragments cost addresses rather than memory.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "softcann/runtime/config.h"
#include "softcann/runtime/range_allocator.h"

namespace softcann::runtime {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kBlock = 512;  // smallest allocation, as on the device

inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

enum class MemoryKind : uint8_t { device, host, mapped, imported };

// Records are recycled, never freed: lookups take no lock, and may meet one that is just being freed.
struct Allocation {
  std::atomic<uintptr_t> base{0};
  std::atomic<size_t> size{0};       // as asked for
  std::atomic<int> device{-1};       // -1: host
  std::atomic<MemoryKind> kind{MemoryKind::device};
  std::atomic<bool> huge{false};
  std::atomic<uint64_t> shared_with{0};  // bit d: device d may use it besides its own (aclrtMemSetAccess)
  // Only with the arena's lock:
  size_t room = 0;                   // as taken
  void* owner = nullptr;             // physical memory that is mapped here
  uintptr_t reservation = 0;         // imports: the range that was reserved for it
};

struct FreedAllocation {
  std::atomic<uintptr_t> base{0};
  std::atomic<size_t> size{0};
  std::atomic<int> device{-1};
};

class MemoryArena {
 public:
  static MemoryArena& get();           // made at first use
  static MemoryArena* existing();      // nullptr before

  // Each answers 0, or a code after fail().
  int allocate(int device, size_t size, size_t room, size_t alignment, bool huge, const char* function, void** address);
  int allocate_host(size_t size, const char* function, void** address);
  int release(void* address, MemoryKind kind, const char* function);
  int reserve(size_t size, size_t alignment, const void* wanted, const char* function, void** address);
  int unreserve(void* address, const char* function);
  int take_extent(int device, size_t size, const char* function, uint64_t* file_offset);
  void give_extent(int device, uint64_t file_offset, size_t size);
  // Maps a part of a memory file into a reserved range.
  int map(void* address, size_t size, int device, int fd, uint64_t file_offset, void* owner, const char* function);
  int unmap(void* address, const char* function, void** owner);
  // Another process's memory, as an allocation of `device`.
  int import(int fd, uint64_t file_offset, size_t size, int device, const char* function, void** address);
  int release_import(void* address, const char* function);
  void release_device(int device);

  // Live memory around an address, else nullptr. No lock.
  const Allocation* find(const void* address) const;
  void* resolve(const void* address, size_t bytes, int device, const char* user) const;
  // Device memory without the question of who may use it: for copies. nullptr after fail().
  char* alias(const void* address, size_t bytes, const char* user, int* device) const;
  bool owns(const void* address) const { return reinterpret_cast<uintptr_t>(address) - base_ < span_; }
  bool owns_alias(const void* address) const { return reinterpret_cast<uintptr_t>(address) - (base_ + distance_) < span_; }
  bool is_device_address(const void* address) const { return reinterpret_cast<uintptr_t>(address) - base_ < host_begin_; }
  const FreedAllocation* find_freed(const void* address) const;

  size_t used(int device) const;
  size_t peak(int device) const;
  size_t largest_free(int device) const;
  uint64_t file_offset(const void* address) const;  // of memory that aclrtMalloc gave out
  int fd() const { return fd_; }
  // The first pages of the file, for what processes share about it (shared_page.h).
  char* control() const { return control_; }

  static constexpr size_t kControlSize = kHugePage;

 private:
  MemoryArena();
  struct DeviceSpace {
    RangeAllocator ranges;  // offsets in the address range = offsets in the file less kControlSize
    size_t used = 0, peak = 0;
  };

  Allocation* add(uintptr_t base, size_t size, size_t room, int device, MemoryKind kind);
  void remove(std::map<uintptr_t, Allocation*>::iterator it);
  void mark(const Allocation& allocation, Allocation* value);
  const Allocation* lookup(size_t offset) const;
  void* resolve_slowly(const void* address, size_t bytes, int device, const char* user, bool any_device) const;
  std::string explain(const void* address) const;
  int out_of_memory(int device, size_t size, const char* function) const;
  void discard(uint64_t begin, uint64_t end);
  void hide(uintptr_t address, size_t size);
  int unreserve_locked(uintptr_t address, const char* function);

  uintptr_t base_ = 0;
  intptr_t distance_ = 0;       // to the writable view
  size_t span_ = 0;
  size_t device_span_ = 0, virtual_begin_ = 0, host_begin_ = 0;
  int fd_ = -1;
  char* control_ = nullptr;

  // What is where: an entry per 2 MB, and where several allocations share those, one per 512 bytes.
  std::atomic<Allocation*>* chunks_ = nullptr;
  std::atomic<Allocation*>* blocks_ = nullptr;

  mutable std::mutex mutex_;
  DeviceSpace devices_[kMaxDevices];
  RangeAllocator virtual_, host_;
  std::map<uintptr_t, Allocation*> live_;
  std::map<uintptr_t, size_t> reserved_;
  std::deque<Allocation> records_;
  std::vector<Allocation*> spare_records_;

  static constexpr size_t kFreedKept = 4096;
  FreedAllocation freed_[kFreedKept];
  std::atomic<size_t> freed_count_{0};
};

// "1.50 GiB"
std::string readable(size_t bytes);

}  // namespace softcann::runtime
