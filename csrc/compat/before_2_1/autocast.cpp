#include <c10/util/intrusive_ptr.h>

#include <mutex>
#include <unordered_map>
#include <utility>

#include "compat/autocast.h"
#include "compat/compat.h"

namespace at {
namespace autocast {
namespace {

using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

thread_local ScalarType dtype = kHalf;

// A parameter's copy in low precision, used for all calls of an outermost block. The original is only held weakly: its address could
// be another tensor's by then.
struct Cache {
  std::mutex mutex;
  std::unordered_map<c10::TensorImpl*, std::pair<WeakTensor, Tensor>> copies;
};

Cache& cache() {
  static auto* c = new Cache;  // leaked: tensors of the device must not be freed while the process exits
  return *c;
}

}  // namespace

// The key is both excluded by default and no tensor's own.
bool is_privateuseone_enabled() {
  return c10::impl::tls_is_dispatch_key_included(DispatchKey::AutocastPrivateUse1) &&
         !c10::impl::tls_is_dispatch_key_excluded(DispatchKey::AutocastPrivateUse1);
}

void set_privateuseone_enabled(bool enabled) {
  c10::impl::tls_set_dispatch_key_included(DispatchKey::AutocastPrivateUse1, enabled);
  c10::impl::tls_set_dispatch_key_excluded(DispatchKey::AutocastPrivateUse1, !enabled);
}

ScalarType get_autocast_privateuseone_dtype() { return dtype; }
void set_autocast_privateuseone_dtype(ScalarType type) { dtype = type; }

void clear_privateuseone_cache() {
  decltype(Cache::copies) freed;  // outside of the lock
  std::lock_guard<std::mutex> lock(cache().mutex);
  freed.swap(cache().copies);
}

namespace privateuseone {

bool is_eligible(const Tensor& t) {
  return t.defined() && torch_npu::is_npu(t) && t.is_floating_point() && t.scalar_type() != kDouble;
}

Tensor cast(ScalarType to, const Tensor& t) {
  if (!is_eligible(t) || t.scalar_type() == to) return t;
  const bool keep = to == dtype && t.scalar_type() == kFloat && t.requires_grad() && t.is_leaf() && !t.is_view() && is_autocast_cache_enabled();
  if (!keep) return t.to(to);
  std::lock_guard<std::mutex> lock(cache().mutex);
  const auto known = cache().copies.find(t.unsafeGetTensorImpl());
  if (known != cache().copies.end()) return known->second.second;
  const Tensor copy = t.to(to);
  cache().copies.emplace(t.unsafeGetTensorImpl(), std::make_pair(WeakTensor(t.getIntrusivePtr()), copy));
  return copy;
}

}  // namespace privateuseone
}  // namespace autocast
}  // namespace at
