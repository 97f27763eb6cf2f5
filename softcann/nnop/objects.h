// The objects behind CANN's opaque operator argument types. Shared by libnnopbase.so (which makes them), libopapi.so (which
// checks them) and libsoftcann_kernels.so (which computes with them); all three are one build.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "aclnn/acl_meta.h"
#include "softcann/nnop/data_type.h"

namespace softcann::nnop {

// What CANN's shapes can hold.
constexpr uint64_t kMaxDims = 25;

// First word of every object. A handle that was destroyed, or that never came from aclCreate..., is told from a live one by it.
enum class Kind : uint32_t {
  kDead = 0,
  kTensor = 0x54454e53,
  kScalar,
  kIntArray,
  kFloatArray,
  kBoolArray,
  kTensorList,
  kScalarList,
};

template <class T>
struct Array {
  Kind kind;
  uint64_t size;
  std::unique_ptr<T[]> values;
};

}  // namespace softcann::nnop

// Counted: the client's handle is one owner. An operator whose output size depends on data is another one until it has run,
// since it reports the size here while the client may already have destroyed its handle.
struct aclTensor {
  softcann::nnop::Kind kind = softcann::nnop::Kind::kTensor;
  mutable std::atomic<uint32_t> owners{1};
  aclDataType type = ACL_DT_UNDEFINED;
  aclFormat format = ACL_FORMAT_UNDEFINED;
  uint32_t dims = 0;
  uint32_t storage_dims = 0;
  int64_t offset = 0;  // of the first element, in elements
  void* data = nullptr;  // start of the storage
  int64_t sizes[softcann::nnop::kMaxDims];
  int64_t strides[softcann::nnop::kMaxDims];
  int64_t storage_sizes[softcann::nnop::kMaxDims];

  int64_t elements() const {
    int64_t n = 1;
    for (uint32_t i = 0; i < dims; ++i) n *= sizes[i];
    return n;
  }

  int64_t storage_elements() const {
    int64_t n = 1;
    for (uint32_t i = 0; i < storage_dims; ++i) n *= storage_sizes[i];
    return n;
  }

  // One past the last element of the storage that the view reaches; 0 for an empty view.
  int64_t extent() const {
    int64_t last = offset;
    for (uint32_t i = 0; i < dims; ++i) {
      if (sizes[i] == 0) return 0;
      last += (sizes[i] - 1) * strides[i];
    }
    return last + 1;
  }

  void retain() const { owners.fetch_add(1, std::memory_order_relaxed); }
  void release() const {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      const_cast<aclTensor*>(this)->kind = softcann::nnop::Kind::kDead;
      delete this;
    }
  }
};

struct aclScalar {
  softcann::nnop::Kind kind = softcann::nnop::Kind::kScalar;
  aclDataType type = ACL_DT_UNDEFINED;
  alignas(16) unsigned char value[16] = {};
};

struct aclIntArray : softcann::nnop::Array<int64_t> {};
struct aclFloatArray : softcann::nnop::Array<float> {};
struct aclBoolArray : softcann::nnop::Array<bool> {};
struct aclTensorList : softcann::nnop::Array<aclTensor*> {};
struct aclScalarList : softcann::nnop::Array<aclScalar*> {};
