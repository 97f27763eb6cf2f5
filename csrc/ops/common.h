// Checks and scopes shared by all kernels.
#pragma once

#include <ATen/core/IListRef.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>

#include "compat/compat.h"
#include "device/stream.h"
#include "launch/aclnn.h"

namespace torch_npu::ops {

inline bool is_cpu_scalar(const at::Tensor& t) { return t.defined() && t.is_cpu() && t.dim() == 0; }

// Makes the device of the first npu tensor current for the scope; raises if npu tensors are on different devices or a
// CPU tensor that is not 0-dim is among them.
class DeviceScope {
 public:
  template <class... T>
  explicit DeviceScope(const T&... operands) {
    (visit(operands), ...);
    if (C10_UNLIKELY(host_ != nullptr && found_ >= 0)) mixed(c10::Device(c10::kCPU));
    if (C10_LIKELY(found_ < 0 || found_ == current_device())) return;
    previous_ = current_device();
    set_device(found_);
  }
  explicit DeviceScope(c10::Device device) {
    if (!device.has_index() || device.index() == current_device()) return;
    previous_ = current_device();
    set_device(device.index());
  }
  ~DeviceScope() {
    if (C10_UNLIKELY(previous_ >= 0)) set_device(previous_);
  }
  DeviceScope(const DeviceScope&) = delete;

 private:
  void visit(const at::Tensor& t) {
    if (C10_UNLIKELY(!t.defined())) return;
    const c10::Device d = t.device();
    if (C10_LIKELY(d.type() == c10::kPrivateUse1)) {
      if (found_ < 0) found_ = d.index();
      else if (C10_UNLIKELY(found_ != d.index())) mixed(d);
    } else if (t.dim() != 0) {
      host_ = t.unsafeGetTensorImpl();
    }
  }
  void visit(const optional<at::Tensor>& t) {
    if (t.has_value()) visit(*t);
  }
  void visit(at::TensorList list) {
    for (const auto& t : list) visit(t);
  }
  void visit(at::ITensorListRef list) {
    for (const auto& t : list) visit(t);
  }
  // Index tensors may live on the CPU: they are moved where they are used.
  void visit(const c10::List<optional<at::Tensor>>&) {}
  [[noreturn]] void mixed(c10::Device other) const;

  c10::DeviceIndex found_ = -1;
  c10::DeviceIndex previous_ = -1;
  const at::TensorImpl* host_ = nullptr;
};

// Remembers, for the message of the fallback that follows on this thread, which dtypes the parameter takes.
[[gnu::cold]] void note_undocumented(const launch::AclnnFunction& f, int parameter, at::ScalarType dtype);

// Whether CANN documents support for the tensor's dtype at this parameter. A Python number has none of its own.
inline bool documented(const launch::AclnnFunction& f, int parameter, const at::Tensor& t) {
  if (!t.defined() || C10_LIKELY(launch::dtype_documented(f, parameter, t.scalar_type()))) return true;
  if (t.unsafeGetTensorImpl()->is_wrapped_number() && t.scalar_type() != at::kBool) return true;
  note_undocumented(f, parameter, t.scalar_type());
  return false;
}
// The same where a 0-dim CPU tensor takes another function.
inline bool documented_on_device(const launch::AclnnFunction& f, int parameter, const at::Tensor& t) {
  return is_cpu_scalar(t) || documented(f, parameter, t);
}
inline bool documented(const launch::AclnnFunction& f, int parameter, const optional<at::Tensor>& t) {
  return !t.has_value() || documented(f, parameter, *t);
}
template <class List>
bool documented(const launch::AclnnFunction& f, int parameter, const List& list) {
  for (const at::Tensor& t : list) {
    if (!documented(f, parameter, t)) return false;
  }
  return true;
}

// Remembers, for the same purpose, which CANN brings the function.
[[gnu::cold]] void note_absent(const launch::AclnnFunction& f);

// Whether the CANN in use has the function. Rows ask this of what the oldest supported CANN lacks.
inline bool available(const launch::AclnnFunction& f) {
  if (C10_LIKELY(launch::found(f))) return true;
  note_absent(f);
  return false;
}

}  // namespace torch_npu::ops
