// aclnn argument objects rebuilt from a record's key words, and owned.
#pragma once

#include <c10/util/SmallVector.h>

#include "launch/record.h"

namespace torch_npu::launch {

class Arguments {
 public:
  // Creates every object. Raises if CANN refuses one.
  Arguments(const AclnnFunction& function, const uint64_t* words, void* const* addresses);
  ~Arguments();
  Arguments(const Arguments&) = delete;

  const ArgValue* values() const { return values_.data(); }

  // One present tensor: where it stands among all tensor positions (nulls count), as aclSetTensorAddr numbers them.
  struct TensorAt {
    aclTensor* tensor;
    uint32_t index;
  };
  const c10::SmallVector<TensorAt, 8>& tensors() const { return tensors_; }

 private:
  class Reader;
  struct Owned {
    void* object;
    void (*destroy)(void*);
  };
  template <class T>
  T* own(T* object, void (*destroy)(void*), const char* call);

  c10::SmallVector<ArgValue, 16> values_;
  c10::SmallVector<TensorAt, 8> tensors_;
  c10::SmallVector<Owned, 16> owned_;
};

// "self=float32[2, 2], alpha=1, out=float32[2, 2]"
std::string describe_arguments(const AclnnFunction& function, const uint64_t* words);

}  // namespace torch_npu::launch
