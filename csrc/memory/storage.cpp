#include "memory/storage.h"

#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "device/stream.h"
#include "memory/allocators.h"

namespace torch_npu {

void resize_storage_bytes(c10::StorageImpl* storage, size_t bytes) {
  TORCH_CHECK(storage->resizable(), "Trying to resize storage that is not resizable.");
  const c10::DeviceGuard guard(storage->device());
  c10::DeviceAllocator* allocator = device_allocator();
  c10::DataPtr data = allocator->allocate(bytes);
  const size_t kept = std::min(bytes, storage->nbytes());
  if (kept != 0 && storage->data() != nullptr) {
    allocator->copy_data(data.get(), storage->data(), kept);
    // The old memory may belong to another stream, which must not use it again before the copy ran.
    allocator->recordStream(storage->data_ptr(), current_stream(storage->device().index()));
  }
  storage->set_data_ptr_noswap(std::move(data));
  storage->set_nbytes(bytes);
}

}  // namespace torch_npu
