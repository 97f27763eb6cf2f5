// A CANN function, found by name at the first call. One relaxed load per call afterwards.
#pragma once

#include <c10/macros/Macros.h>

#include <atomic>
#include <cstdint>

#include "cann/export.h"

namespace torch_npu::cann {

enum class Library : uint8_t;  // generated: one per library of CANN

// A required function may be called without asking: its absence is an error that says what to install. An optional one
// has to be asked for with available().
enum class Requirement : uint8_t { required, optional };

class TORCH_NPU_API SymbolBase {
 public:
  constexpr SymbolBase(const char* name, Library library, Requirement requirement, const char* since)
      : name_(name), since_(since), library_(library), requirement_(requirement) {}
  SymbolBase(const SymbolBase&) = delete;

  // Whether this CANN has the function. Never raises: false if there is no usable CANN at all.
  bool available() const noexcept {
    void* p = address_.load(std::memory_order_relaxed);
    if (C10_UNLIKELY(p == nullptr)) p = find();
    return p != absent();
  }

  const char* name() const noexcept { return name_; }
  // The CANN release it came with ("8.5.0"), or the oldest one it is recorded in ("<=8.1.RC1"); "" = not recorded.
  const char* since() const noexcept { return since_; }
  Library library() const noexcept { return library_; }
  Requirement requirement() const noexcept { return requirement_; }

 protected:
  // The address; raises if there is none.
  void* address() const {
    void* p = address_.load(std::memory_order_relaxed);
    if (C10_UNLIKELY(p == nullptr || p == absent())) p = find_or_raise();
    return p;
  }

 private:
  static void* absent() { return reinterpret_cast<void*>(intptr_t{-1}); }
  void* find() const noexcept;
  void* find_or_raise() const;

  const char* name_;
  const char* since_;
  Library library_;
  Requirement requirement_;
  mutable std::atomic<void*> address_{nullptr};
};

template <class F>
class Symbol;

template <class R, class... A>
class Symbol<R(A...)> : public SymbolBase {
 public:
  using SymbolBase::SymbolBase;
  R operator()(A... args) const { return reinterpret_cast<R (*)(A...)>(address())(args...); }
};

}  // namespace torch_npu::cann
