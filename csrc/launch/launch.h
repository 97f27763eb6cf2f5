// Packs one operator call into a record and hands it to the device's task queue.
//
//     Launch l(aclnnAdd, "aten::add.Tensor");
//     l.tensor(self); l.tensor(other); l.scalar(alpha); l.tensor(out);
//     l.submit();
//
// Arguments follow the aclnn function's parameters in order. Everything is copied by value: tensors as address, dtype,
// sizes, strides, offset and storage size. No reference to a tensor is kept: memory of a tensor freed meanwhile can only be
// reused by later work of the same stream, or after its recorded events (see memory/).
#pragma once

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>
#include <c10/util/SmallVector.h>
#include <c10/util/bit_cast.h>

#include <string_view>
#include <vector>

#include "acl/acl.h"
#include "compat/compat.h"
#include "launch/aclnn.h"

namespace torch_npu::launch {

struct ShapeReply;

class Launch {
 public:
  // `op` is the ATen name users know; it appears in errors. The device and stream are the current ones.
  Launch(const AclnnFunction& function, const char* op) : function_(function), op_(op) {}
  Launch(const Launch&) = delete;

  void tensor(const at::Tensor& t);
  void tensor(const optional<at::Tensor>& t);
  void tensors(at::TensorList list);
  void tensors(at::ITensorListRef list);
  void tensors(const std::vector<at::Tensor>& list) { tensors(at::TensorList(list)); }
  void tensors(const c10::List<optional<at::Tensor>>& list);
  void scalar(const at::Scalar& s);
  void scalar(const optional<at::Scalar>& s);
  void scalar(const at::Tensor& zero_dim_cpu_tensor);
  void scalars(at::ArrayRef<at::Scalar> list);
  void ints(at::IntArrayRef list);
  void ints(at::OptionalIntArrayRef list);
  void ints(const c10::DimVector& list) { ints(at::IntArrayRef(list)); }
  void ints(int64_t single) { ints(at::IntArrayRef(&single, 1)); }
  void bools(at::ArrayRef<bool> list);
  template <size_t N>
  void bools(const std::array<bool, N>& list) { bools(at::ArrayRef<bool>(list.data(), N)); }
  void floats(at::ArrayRef<double> list);
  void integer(int64_t v) { word(static_cast<uint64_t>(v)); }
  void integer(at::ScalarType dtype);  // an aclDataType argument
  void boolean(bool v) { word(v); }
  void real(double v) { word(c10::bit_cast<uint64_t>(v)); }
  void string(string_view s);

  void submit();

  // Runs to the end and returns the view shapes that the function gave the tensor arguments numbered `outputs`
  // (counting tensor arguments from 0): for results whose size depends on data.
  std::vector<c10::DimVector> submit_for_shapes(at::ArrayRef<int> outputs);

 private:
  void word(uint64_t v) { key_.push_back(v); }
  void append_tensor(const at::TensorImpl& impl);
  void host_scalar(const at::Tensor& t);
  void enqueue(ShapeReply* reply);

  const AclnnFunction& function_;
  const char* op_;
  bool has_double_ = false;
  c10::SmallVector<uint64_t, 96> key_;       // everything but addresses: equal keys may share an executor
  c10::SmallVector<void*, 12> addresses_;    // one per tensor in key_, in order
};

// Executor reuse, per device: hits, misses, entries.
struct ExecutorCacheStats {
  uint64_t hits, misses, entries;
};
ExecutorCacheStats executor_cache_stats(c10::DeviceIndex device);

// The functions among those that operators call which this CANN does not have, by name.
std::vector<const AclnnFunction*> missing_functions();

// What a failed stream's message may be about: the last launch of the aclnn function named in `cann_message`, as
// "aten::add.Tensor (aclnnAdd) with self=float32[2, 2], ...". Empty if none matches. Consumer must be drained.
std::string describe_culprit(c10::DeviceIndex device, std::string_view cann_message);

aclDataType to_acl_dtype(at::ScalarType dtype);
const char* dtype_name(at::ScalarType dtype);  // "float32"

}  // namespace torch_npu::launch
