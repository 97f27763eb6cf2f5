// Changing the size of a device storage in place.
#pragma once

#include <c10/core/StorageImpl.h>

#include "cann/export.h"

namespace torch_npu {

// Gives `storage` memory of `bytes`, with as much of the old contents as fits. The copy is queued on the current stream
// of the storage's device; views of the storage see the new memory.
TORCH_NPU_API void resize_storage_bytes(c10::StorageImpl* storage, size_t bytes);

}  // namespace torch_npu
