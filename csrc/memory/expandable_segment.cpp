#include "memory/expandable_segment.h"

namespace torch_npu::memory {

ExpandableSegment::ExpandableSegment(DeviceBackend& backend, size_t bytes, size_t granule)
    : backend_(backend),
      granule_(granule),
      handles_((bytes + granule - 1) / granule, nullptr),
      base_(static_cast<char*>(backend.reserve_address(handles_.size() * granule))) {}

ExpandableSegment::~ExpandableSegment() { backend_.release_address(base_); }

bool ExpandableSegment::map(char* begin, size_t bytes) {
  for (size_t done = 0; done < bytes; done += granule_) {
    void* handle = nullptr;
    try {
      handle = backend_.map(begin + done, granule_);
    } catch (...) {
      unmap(begin, done);
      throw;
    }
    if (handle == nullptr) {
      unmap(begin, done);
      return false;
    }
    handles_[index_of(begin + done)] = handle;
  }
  return true;
}

void ExpandableSegment::unmap(char* begin, size_t bytes, bool keep) {
  for (size_t done = 0; done < bytes; done += granule_) {
    void*& handle = handles_[index_of(begin + done)];
    backend_.unmap(begin + done, handle, keep);
    handle = nullptr;
  }
}

}  // namespace torch_npu::memory
