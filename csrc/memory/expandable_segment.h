// A reserved address range that gets memory granule by granule, so that a pool grows without new, separate segments.
#pragma once

#include <cstddef>
#include <vector>

#include "memory/backend.h"

namespace torch_npu::memory {

class ExpandableSegment {
 public:
  ExpandableSegment(DeviceBackend& backend, size_t bytes, size_t granule);
  ~ExpandableSegment();
  ExpandableSegment(const ExpandableSegment&) = delete;
  ExpandableSegment& operator=(const ExpandableSegment&) = delete;

  char* base() const { return base_; }
  size_t bytes() const { return handles_.size() * granule_; }
  size_t granule() const { return granule_; }

  // Both take whole granules. map() either maps all of it or, out of memory, nothing.
  bool map(char* begin, size_t bytes);
  void unmap(char* begin, size_t bytes, bool keep = false);

 private:
  size_t index_of(const char* address) const { return static_cast<size_t>(address - base_) / granule_; }

  DeviceBackend& backend_;
  size_t granule_;
  std::vector<void*> handles_;  // null where no memory is mapped
  char* base_;
};

}  // namespace torch_npu::memory
