// The C++ storage of a Python one.
#pragma once

#include <torch/csrc/DynamicTypes.h>
#include <torch/csrc/Storage.h>

namespace torch_compat {

// `object` is a torch.UntypedStorage, or since 2.1 any storage, which the caller has checked.
inline c10::Storage storage_of(PyObject* object) {
#if TORCH_NPU_TORCH_VERSION < 20100
  // torch::createStorage refused storages of any device but a few.
  return c10::Storage(c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(reinterpret_cast<THPStorage*>(object)->cdata));
#else
  return torch::createStorage(object);
#endif
}

}  // namespace torch_compat
