// Device memory: one memory file per process, and two views of it. Clients get addresses in a PROT_NONE reservation, so that
// host code that touches them dies; kernels work in a second, writable mapping at a constant distance.
//
// Every device owns a range of addresses. Allocations, pinned host blocks and mapped virtual memory are entries of one ordered
// map; pages are committed when first written and given back when freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string>

namespace softcann::runtime {

enum class MemoryKind : uint8_t { device, host, mapped, imported };

struct Allocation {
  uintptr_t base;
  size_t size;        // as asked for
  size_t room;        // as taken
  int device;         // logical; -1 for host memory
  MemoryKind kind;
  char* alias;        // writable view of base
};

class Arena {
 public:
  static Arena& get();          // reserved at first use; empty in a forked child

  // 0, or an ACL error after fail().
  int allocate(int device, size_t size, size_t alignment, const char* function, void** address);
  int allocate_host(size_t size, const char* function, void** address);
  int release(void* address, MemoryKind kind, const char* function);
  void release_device(int device);

  // Lookup of live memory. find() copies the entry that holds `address`.
  bool find(const void* address, Allocation* found) const;
  void* resolve(const void* address, size_t bytes, int device, const char* user) const;

  // Virtual memory: reserved ranges, and physical extents of the file mapped into them.
  int reserve(size_t size, const char* function, void** address);
  int unreserve(void* address, const char* function);
  int take_extent(int device, size_t size, uint64_t* offset);
  void give_extent(int device, uint64_t offset, size_t size);
  int map(void* address, size_t size, int device, int fd, uint64_t offset, const char* function);
  int unmap(void* address, const char* function);

  // Memory of another process, opened through its memory file.
  int import(int fd, uint64_t offset, size_t size, int device, const char* function, void** address);

  size_t used(int device) const;
  size_t largest_free(int device) const;
  int fd() const { return fd_; }
  uint64_t offset_of(const Allocation& a) const;  // in the memory file

  // For the fault handler: what is known of an address, without locks. Returns the length written.
  size_t describe(uintptr_t address, char* text, size_t room) const noexcept;
  bool owns(uintptr_t address) const noexcept { return address >= base_ && address < base_ + span_; }

 private:
  Arena();
  struct Space {                       // free ranges of one device's addresses
    std::map<uint64_t, uint64_t> free; // offset -> size
    size_t used = 0;
  };
  size_t mapped_bytes(const Allocation& first) const;
  bool take(Space& space, size_t size, size_t alignment, uint64_t* offset);
  void give(Space& space, uint64_t offset, size_t size);

  mutable std::shared_mutex mutex_;
  std::map<uintptr_t, Allocation> live_;
  std::map<uintptr_t, size_t> reserved_;
  Space devices_[64];
  Space virtual_;
  uintptr_t base_ = 0;     // PROT_NONE view
  char* alias_base_ = nullptr;
  size_t span_ = 0, device_span_ = 0;
  int fd_ = -1;
};

void install_fault_handler();

}  // namespace softcann::runtime
