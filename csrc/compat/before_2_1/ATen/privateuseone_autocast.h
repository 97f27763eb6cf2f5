// Autocast of this device, of which torch 2.0 has nothing. The key of another device, which nobody else uses in a process with npus, is
// added to the calling thread's while autocast is on; then every call comes by the kernels registered under it, which cast npu tensors.
#pragma once

#include <ATen/Operators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <type_traits>
#include <vector>

#define AutocastPrivateUse1 AutocastHPU

namespace at {
namespace autocast {

C10_EXPORT bool is_privateuseone_enabled();
C10_EXPORT void set_privateuseone_enabled(bool enabled);
C10_EXPORT ScalarType get_autocast_privateuseone_dtype();
C10_EXPORT void set_autocast_privateuseone_dtype(ScalarType dtype);
// What was cast and kept, by any thread.
C10_EXPORT void clear_privateuseone_cache();

namespace privateuseone {

enum class Policy { lower_precision_fp, fp32, fp32_set_opt_dtype, fp32_append_dtype, promote };

bool is_eligible(const Tensor& t);
Tensor cast(ScalarType to, const Tensor& t);

inline c10::optional<Tensor> cast(ScalarType to, const c10::optional<Tensor>& t) {
  return t.has_value() ? c10::optional<Tensor>(cast(to, *t)) : t;
}
inline std::vector<Tensor> cast(ScalarType to, const TensorList& list) {
  std::vector<Tensor> result;
  result.reserve(list.size());
  for (const Tensor& t : list) result.push_back(cast(to, t));
  return result;
}
inline std::vector<Tensor> cast(ScalarType to, const ITensorListRef& list) {
  std::vector<Tensor> result;
  result.reserve(list.size());
  for (const Tensor& t : list) result.push_back(cast(to, t));
  return result;
}
template <class T>
const T& cast(ScalarType, const T& other) {
  return other;
}

inline c10::optional<ScalarType> choose(const c10::optional<ScalarType>& dtype) { return dtype.has_value() ? dtype : kFloat; }
template <class T>
const T& choose(const T& other) {
  return other;
}

// float32 as soon as one argument is of it.
inline void widen(ScalarType& type, const Tensor& t) {
  if (is_eligible(t) && t.scalar_type() == kFloat) type = kFloat;
}
inline void widen(ScalarType& type, const ITensorListRef& list) {
  for (const Tensor& t : list) widen(type, t);
}
inline void widen(ScalarType& type, const TensorList& list) {
  for (const Tensor& t : list) widen(type, t);
}
template <class T>
void widen(ScalarType&, const T&) {}

template <class First, class... Rest>
const Tensor& first(const First& t, const Rest&...) {
  return t;
}

template <Policy policy, class Redispatch, class Signature, Redispatch* f>
struct Kernel;

template <Policy policy, class Redispatch, class R, class... A, Redispatch* f>
struct Kernel<policy, Redispatch, R(A...), f> {
  static R call(A... arguments) {
    c10::impl::ExcludeDispatchKeyGuard once(DispatchKey::AutocastPrivateUse1);
    if constexpr (policy == Policy::lower_precision_fp) {
      return f(cast(get_autocast_privateuseone_dtype(), arguments)...);
    } else if constexpr (policy == Policy::fp32) {
      return f(cast(kFloat, arguments)...);
    } else if constexpr (policy == Policy::promote) {
      ScalarType type = get_autocast_privateuseone_dtype();
      (widen(type, arguments), ...);
      return f(cast(type, arguments)...);
    } else if constexpr (policy == Policy::fp32_set_opt_dtype) {
      return is_eligible(first(arguments...)) ? f(choose(arguments)...) : f(arguments...);
    } else {
      const Tensor& t = first(arguments...);
      return f(arguments..., is_eligible(t) ? kFloat : t.scalar_type());
    }
  }
};

}  // namespace privateuseone
}  // namespace autocast
}  // namespace at

#define TORCH_COMPAT_AUTOCAST(NAME, FUNCTION, POLICY)                                                                   \
  m.impl(TORCH_SELECTIVE_NAME("aten::" NAME),                                                                           \
         &privateuseone::Kernel<privateuseone::Policy::POLICY, decltype(FUNCTION), decltype(FUNCTION), &FUNCTION>::call);
#define TORCH_COMPAT_AUTOCAST2(OP, POLICY) TORCH_COMPAT_AUTOCAST(#OP, ATEN_FN(OP), POLICY)
#define TORCH_COMPAT_AUTOCAST3(OP, OVERLOAD, POLICY) TORCH_COMPAT_AUTOCAST(#OP "." #OVERLOAD, ATEN_FN2(OP, OVERLOAD), POLICY)

#define ADD_NS(OP) at::OP  // as the list of them says it
#define KERNEL_DIFFERENT_REDISPATCH_SIGNATURE_PRIVATEUSEONE(FUNCTION, NAME, SIGNATURE, REDISPATCH, POLICY) \
  m.impl(TORCH_SELECTIVE_NAME("aten::" NAME),                                                              \
         &privateuseone::Kernel<privateuseone::Policy::POLICY, REDISPATCH, SIGNATURE, &FUNCTION>::call);
