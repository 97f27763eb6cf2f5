// Host functions in stream order.
#include "softcann/api_ascendcl.h"
#include "softcann/runtime/device.h"

namespace softcann {

aclError api::aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc fn, void* args) {
  if (fn == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtLaunchHostFunc: fn is null");
  struct Call {
    aclrtHostFunc fn;
    void* args;
  };
  return runtime::enqueue(stream, {[](void* p) { return static_cast<Call*>(p)->fn(static_cast<Call*>(p)->args), 0; },
                                   [](void* p) { delete static_cast<Call*>(p); }, new Call{fn, args}, "aclrtLaunchHostFunc"});
}

}  // namespace softcann
