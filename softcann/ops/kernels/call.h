// The arguments of one operator call as ATen objects: made in phase 1, used by the row's function in phase 2.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>
#include <c10/util/SmallVector.h>

#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "csrc/compat/compat.h"
#include "softcann/ops/kernels.h"

namespace softcann::ops {

using torch_compat::nullopt;
using torch_compat::optional;
using torch_compat::string_view;

// A shape function of ATen as a callable that gives nullptr for arguments it has no overload for.
#define SHAPES(function)                                  \
  [](auto&&... arguments) {                               \
    if constexpr (requires { function(arguments...); }) { \
      return function(arguments...);                      \
    } else {                                              \
      return nullptr;                                     \
    }                                                     \
  }

class Call;

// A row of softcann/ops/*.yaml, compiled.
struct Row {
  const char* name;
  void (*compute)(Call& call);
  // The row with ATen's shape functions (at::meta) in the place of its kernels: phase 1 calls it on tensors without memory when
  // it sees new shapes. nullptr where ATen has no such functions in C++. They are called past the dispatcher, where Python
  // may have put functions of its own. Rows without it are tried on small scratch tensors.
  void (*check)(Call& call);
  // Parameters that `:=` gives a new shape, as bits.
  uint64_t resized;
};

struct RowTable {
  const Row* rows;
  size_t count;
};

class Call {
 public:
  // How the generated functions see their parameters.
  at::Tensor& tensor(size_t i) { return tensors_[values_[i].first]; }
  at::TensorList tensors(size_t i) const { return {tensors_.data() + values_[i].first, values_[i].count}; }
  at::Tensor& element(size_t i, size_t k) {
    check_element(i, k);
    return tensors_[values_[i].first + k];
  }
  const at::Scalar& scalar_element(size_t i, size_t k) const {
    check_element(i, k);
    return scalars_[values_[i].first + k];
  }
  const at::Scalar& scalar(size_t i) const { return scalars_[values_[i].first]; }
  optional<at::Scalar> optional_scalar(size_t i) const {
    return values_[i].present ? optional<at::Scalar>(scalar(i)) : nullopt;
  }
  at::ArrayRef<at::Scalar> scalars(size_t i) const { return {scalars_.data() + values_[i].first, values_[i].count}; }
  at::IntArrayRef ints(size_t i) const { return {ints_.data() + values_[i].first, values_[i].count}; }
  at::OptionalIntArrayRef optional_ints(size_t i) const {
    return values_[i].present ? at::OptionalIntArrayRef(ints(i)) : nullopt;
  }
  c10::ArrayRef<bool> bools(size_t i) const {  // not in braces: pointer and size would convert to two elements
    return c10::ArrayRef<bool>(bools_.data() + values_[i].first, values_[i].count);
  }
  c10::ArrayRef<double> floats(size_t i) const { return {floats_.data() + values_[i].first, values_[i].count}; }
  string_view text(size_t i) const {
    return values_[i].present ? string_view(texts_[values_[i].first]) : string_view();
  }
  int64_t integer(size_t i) const { return values_[i].integer; }
  double real(size_t i) const { return values_[i].real; }
  at::ScalarType type(size_t i) const;

  // `out = value`: same shape (or one element each), any data type. Undefined outputs are not asked for.
  void store(const at::Tensor& out, const at::Tensor& value) const;
  // Phase 1: throws unless `out` has the shape of `value`.
  void expect(const at::Tensor& out, const at::Tensor& value) const;
  // The same for the results of SHAPES(), nullptr if it knows none.
  template <class... Outs>
  void expect_all(std::nullptr_t, const Outs&...) {
    unknown_ = true;
  }
  template <class Out>
  void expect_all(const at::Tensor& result, const Out& out) const {
    expect(out, result);
  }
  template <class... Results, class... Outs>
  void expect_all(const std::tuple<Results...>& results, const Outs&... outs) const {
    std::apply([&](const auto&... result) { (expect(outs, result), ...); }, results);
  }
  // `out := value`: also gives the client's tensor the shape of `value`, as far as its memory reaches.
  void resize(size_t parameter, const at::Tensor& value);

  // The library's side.
  int bind(const Row& row, const OpDesc& op, const Slot* arguments, aclOpExecutor& executor);
  int run(const nnop::TensorArgument* arguments, void* const* aliases);
  void clear();

  Call* next_free = nullptr;

 private:
  struct Value {
    uint32_t first = 0;  // in the vector of its kind
    uint32_t count = 0;
    bool present = false;
    union {
      int64_t integer = 0;
      double real;
    };
  };

  // Shape and strides that an output must still have after the computation.
  struct Output {
    uint32_t tensor;
    uint32_t dims;
    uint32_t first;  // in shapes_
    uint32_t parameter;
  };

  // Lists that belong together have one length.
  void check_element(size_t i, size_t k) const {
    if (k >= values_[i].count) fail_element(i, k);
  }
  [[noreturn]] void fail_element(size_t i, size_t k) const;
  void add_tensor(const OpDesc& op, uint32_t parameter, const aclTensor* tensor, const nnop::TensorArgument& argument);
  int check_shapes(const OpDesc& op);
  struct Complaint {
    std::string sentence;
    bool certain = false;  // whatever the tensors hold
  };
  // What `function` says of other tensors; nothing if it is content.
  Complaint try_with(std::vector<at::Tensor>& others, void (Call::*function)());
  std::string try_with_scratch();
  enum class Contents { kZeros, kOnes, kIdentity };
  // Tensors like this call's; false if they would be large.
  bool make_scratch(std::vector<at::Tensor>& to, Contents contents) const;
  uint64_t key() const;
  void check() { row_->check(*this); }
  // The row, in a wider type where the CPU has no kernel for the one at hand: in float32, or in float64 where it has none for that either.
  void compute();
  void compute_wider(at::ScalarType type);
  void compute_as(at::ScalarType narrow, at::ScalarType wide);
  // Of the shapes and strides of tensors, if some are of the type `half`; else 0.
  uint64_t layout_key(at::ScalarType half) const;
  // Throws if an output changed its shape.
  void check_outputs() const;

  const Row* row_ = nullptr;
  const OpDesc* op_ = nullptr;
  std::vector<at::Tensor> tensors_;  // the first used_ are this call's, the rest is kept for later ones
  size_t used_ = 0;
  c10::SmallVector<Value, 16> values_;
  c10::SmallVector<at::Scalar, 4> scalars_;
  c10::SmallVector<int64_t, 16> ints_;
  c10::SmallVector<bool, 8> bools_;
  c10::SmallVector<double, 4> floats_;
  std::vector<std::string> texts_;
  c10::SmallVector<Output, 4> outputs_;
  c10::SmallVector<int64_t, 32> shapes_;
  bool trying_ = false;   // what runs is no computation of the client's
  bool unknown_ = false;  // ATen has no shape function for these arguments
  at::ScalarType narrow_ = at::ScalarType::Undefined, wide_ = at::ScalarType::Undefined;  // tensors of the first type are of the second now
  std::vector<const aclTensor*> clients_;  // by parameter, for resized outputs
};

}  // namespace softcann::ops
