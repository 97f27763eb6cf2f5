// Markers for profilers and memory checkers. As in CANN without a tool attached, they are accepted and mean nothing.
#include <atomic>

#include "softcann/api_ms_tools_ext.h"

namespace softcann {
namespace {

std::atomic<mstxRangeId> last_range{MSTX_INVALID_ID};

// Handles are only compared: any address that is not null does.
template <class Handle>
Handle handle() {
  static char token;
  return reinterpret_cast<Handle>(&token);
}

}  // namespace

void api::mstxMarkA(const char* message, aclrtStream stream) {}
mstxRangeId api::mstxRangeStartA(const char* message, aclrtStream stream) { return ++last_range; }
void api::mstxRangeEnd(mstxRangeId id) {}

mstxDomainHandle_t api::mstxDomainCreateA(const char* name) { return handle<mstxDomainHandle_t>(); }
void api::mstxDomainDestroy(mstxDomainHandle_t handle) {}
void api::mstxDomainMarkA(mstxDomainHandle_t handle, const char* message, aclrtStream stream) {}
void api::mstxDomainRangeEnd(mstxDomainHandle_t handle, mstxRangeId id) {}
mstxRangeId api::mstxDomainRangeStartA(mstxDomainHandle_t handle, const char* message, aclrtStream stream) {
  return ++last_range;
}

mstxMemHeapHandle_t api::mstxMemHeapRegister(mstxDomainHandle_t domain, const mstxMemHeapDesc_t* desc) {
  return handle<mstxMemHeapHandle_t>();
}
void api::mstxMemHeapUnregister(mstxDomainHandle_t domain, mstxMemHeapHandle_t heap) {}
void api::mstxMemRegionsRegister(mstxDomainHandle_t domain, const mstxMemRegionsRegisterBatch_t* desc) {
  if (desc == nullptr || desc->regionHandleArrayOut == nullptr) return;
  for (size_t i = 0; i < desc->regionCount; ++i) desc->regionHandleArrayOut[i] = handle<mstxMemRegionHandle_t>();
}
void api::mstxMemRegionsUnregister(mstxDomainHandle_t domain, const mstxMemRegionsUnregisterBatch_t* desc) {}

}  // namespace softcann
