// Where ATen has a structured meta function, it decides shape and dtype; these classes give it outputs on the device.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/TensorMeta.h>

#include <array>
#include <functional>
#include <tuple>
#include <type_traits>

#include "ops/factory.h"

namespace torch_npu::ops {

void resize_given_output(const at::Tensor& out, at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options);
void check_in_place(const at::Tensor& self, at::IntArrayRef sizes, const at::TensorOptions& options);

// The TensorIterator's own bookkeeping, common to the three kinds of output.
template <class Meta>
class WithOutputs : public Meta {
 public:
  void set_output_raw_strided(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, at::TensorOptions options) override {
    provide(i, sizes, strides, options);
    if constexpr (std::is_base_of_v<at::TensorIteratorBase, Meta>) {
      Meta::set_output_raw_strided(i, sizes, strides, options);
    }
  }
  void set_output_strided(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, at::TensorOptions options) override {
    set_output_raw_strided(i, sizes, strides, options);
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
  void finish() const {}

 private:
  void provide(int64_t i, at::IntArrayRef sizes, at::IntArrayRef strides, const at::TensorOptions& options) override {
    resize_given_output(outputs_[i], sizes, strides, options);
  }
  std::array<std::reference_wrapper<const at::Tensor>, N> outputs_;
};

}  // namespace torch_npu::ops
