// Where ATen has a structured meta function, it decides shape and dtype; these classes give it outputs on the device.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/TensorMeta.h>

#include <array>
#include <atomic>
#include <functional>
#include <tuple>
#include <type_traits>

#include "compat/compat.h"
#include "ops/factory.h"
#include "ops/rules.h"

namespace torch_npu::ops {

void resize_given_output(const at::Tensor& out, at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options);
void check_in_place(const at::Tensor& self, at::IntArrayRef sizes, const at::TensorOptions& options);

// Elementwise operators mostly see operands that are all alike: floating point, contiguous, of one dtype and shape, real
// numbers aside. Their result then has that shape, and a dtype that depends on theirs alone. So the meta function, which builds
// a TensorIterator, is asked once per dtype, and its answer is kept in the kernel's ResultDtypes.
class ResultDtypes {
 public:
  constexpr ResultDtypes() = default;
  optional<at::ScalarType> of(at::ScalarType operands) const {
    const int8_t known = known_[static_cast<size_t>(operands)].load(std::memory_order_relaxed);
    return known == 0 ? nullopt : optional<at::ScalarType>(static_cast<at::ScalarType>(known - 1));
  }
  void learn(at::ScalarType operands, at::ScalarType result) {
    known_[static_cast<size_t>(operands)].store(static_cast<int8_t>(static_cast<int8_t>(result) + 1), std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<int8_t>, static_cast<size_t>(at::ScalarType::NumOptions)> known_{};
};

class AlikeOperands {
 public:
  template <class... T>
  explicit AlikeOperands(const T&... operands) {
    (visit(operands), ...);
    if (like_ != nullptr && !at::isFloatingType(dtype())) alike_ = false;
    alike_ = alike_ && like_ != nullptr;
  }

  // A new tensor for the result, or an undefined one if the meta function has to be asked.
  at::Tensor output(const ResultDtypes& results) const {
    if (!alike_) return {};
    const auto result = results.of(dtype());
    return result.has_value() ? empty(like_->sizes(), *result) : at::Tensor();
  }

  // Whether `out`, given by the caller, takes the result as it is. `operands` are those of the constructor.
  template <class... T>
  bool fit(const ResultDtypes& results, const at::Tensor& out, const T&... operands) const {
    if (!alike_) return false;
    const at::TensorImpl* impl = out.unsafeGetTensorImpl();
    return results.of(dtype()) == c10::typeMetaToScalarType(impl->dtype()) && impl->device() == like_->device() &&
           impl->is_contiguous() && impl->sizes() == like_->sizes() && (apart(impl, operands) && ...);
  }

  void learn(ResultDtypes& results, const at::Tensor& out) const {
    if (alike_) results.learn(dtype(), out.scalar_type());
  }

 private:
  at::ScalarType dtype() const { return c10::typeMetaToScalarType(like_->dtype()); }

  void visit(const at::Tensor& t) {
    const at::TensorImpl* impl = t.unsafeGetTensorImpl();
    if (C10_LIKELY(is_npu(t))) {
      if (like_ == nullptr) like_ = impl;
      else if (impl->dtype() != like_->dtype() || impl->sizes() != like_->sizes()) alike_ = false;
      if (!impl->is_contiguous()) alike_ = false;
    } else if (!t.defined() || !impl->is_wrapped_number() ||
               (impl->dtype() != caffe2::TypeMeta::Make<int64_t>() && impl->dtype() != caffe2::TypeMeta::Make<double>())) {
      alike_ = false;
    }
  }

  void visit(const at::Scalar& number) {
    if (!number.isFloatingPoint() && !number.isIntegral(/*includeBool=*/false)) alike_ = false;
  }
  void visit(const optional<at::Scalar>& number) {
    if (number.has_value()) visit(*number);
    else alike_ = false;
  }

  // The same tensor is fine; another one on the same storage may overlap, which the meta function checks.
  static bool apart(const at::TensorImpl* out, const at::Tensor& operand) {
    const at::TensorImpl* impl = operand.unsafeGetTensorImpl();
    return impl == out || impl->unsafe_storage().unsafeGetStorageImpl() != out->unsafe_storage().unsafeGetStorageImpl();
  }

  template <class Number>
  static bool apart(const at::TensorImpl*, const Number&) { return true; }

  const at::TensorImpl* like_ = nullptr;
  bool alike_ = true;
};

// The type to compute in: what the operands promote to, but no less than float32.
inline at::ScalarType compute_type(const at::TensorIteratorBase& meta) { return accumulate_type(meta.common_dtype()); }

// The TensorIterator's own bookkeeping, common to the three kinds of output.
template <class Meta>
class WithOutputs : public Meta {
 public:
  void set_output_raw_strided(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, at::TensorOptions options TORCH_NPU_NAMES_PARAMETER) override {
    provide(i, sizes, strides, options);
    if constexpr (std::is_base_of_v<at::TensorIteratorBase, Meta>) {
      Meta::set_output_raw_strided(i, sizes, strides, options TORCH_NPU_NAMES);
    }
  }
  void set_output_strided(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, at::TensorOptions options TORCH_NPU_NAMES_PARAMETER) override {
    set_output_raw_strided(i, sizes, strides, options TORCH_NPU_NAMES);
  }

 protected:
  virtual void provide(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options) = 0;
};

template <class Meta, size_t N>
class Functional final : public WithOutputs<Meta> {
 public:
  const at::Tensor& maybe_get_output(int64_t i) override { return outputs_[i]; }
  auto take() {
    if constexpr (N == 1) return std::move(outputs_[0]);
    else return std::apply([](auto&... t) { return std::make_tuple(std::move(t)...); }, outputs_);
  }
  // A composed result becomes the output where it is as the meta function wants it.
  void store(int64_t i, at::Tensor value) {
    at::Tensor& out = outputs_[i];
    if (value.scalar_type() == out.scalar_type() && value.sizes() == out.sizes() && value.strides() == out.strides()) out = std::move(value);
    else out.copy_(value);
  }

 private:
  void provide(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options) override {
    outputs_[i] = empty_for_output(sizes, strides, options);
  }
  std::array<at::Tensor, N> outputs_;
};

template <class Meta>
class InPlace final : public WithOutputs<Meta> {
 public:
  explicit InPlace(const at::Tensor& self) : self_(self) {}
  const at::Tensor& maybe_get_output(int64_t) override { return self_; }
  void store(int64_t, const at::Tensor& value) { self_.copy_(value); }
  void finish() const {}

 private:
  void provide(int64_t, at::IntArrayRef sizes, at::IntArrayRef, const at::TensorOptions& options) override {
    check_in_place(self_, sizes, options);
  }
  const at::Tensor& self_;
};

template <class Meta, size_t N>
class Out final : public WithOutputs<Meta> {
 public:
  template <class... T>
  explicit Out(const T&... outs) : outputs_{std::cref(outs)...} {}
  const at::Tensor& maybe_get_output(int64_t i) override { return outputs_[i]; }
  void store(int64_t i, const at::Tensor& value) { outputs_[i].get().copy_(value); }
  void finish() const {}

 private:
  void provide(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options) override {
    resize_given_output(outputs_[i], sizes, strides, options);
  }
  std::array<std::reference_wrapper<const at::Tensor>, N> outputs_;
};

}  // namespace torch_npu::ops
