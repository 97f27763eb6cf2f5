#include "cann/features.h"

#include "cann/cann.h"
#include "cann/loader.h"

namespace torch_npu::cann {
namespace {

struct Feature {
  const char* name;
  std::vector<const SymbolBase*> needs;
};

}  // namespace

std::vector<Lack> lacking_features() {
  const Feature features[] = {
      {"operators are prepared anew at every call: executors are not reused",
       {&aclSetAclOpExecutorRepeatable, &aclSetTensorAddr, &aclDestroyAclOpExecutor}},
      {"expandable_segments:True has no effect: memory is taken in ordinary segments",
       {&aclrtReserveMemAddress, &aclrtReleaseMemAddress, &aclrtMallocPhysical, &aclrtFreePhysical, &aclrtMapMem, &aclrtUnmapMem}},
      {"tensors cannot be shared between processes", {&aclrtIpcMemGetExportKey, &aclrtIpcMemImportByKey, &aclrtIpcMemClose}},
      {"events cannot be shared between processes; a shared tensor waits for its stream", {&aclrtIpcGetEventHandle, &aclrtIpcOpenEventHandle}},
      {"torch.npu.ExternalEvent cannot be used", {&aclrtValueWrite, &aclrtValueWait}},
      {"the cores of a device or a stream cannot be limited",
       {&aclrtSetDeviceResLimit, &aclrtGetDeviceResLimit, &aclrtSetStreamResLimit, &aclrtGetStreamResLimit, &aclrtUseStreamResInCurrentThread}},
      {"torch.npu.stop_device() cannot be used", {&aclrtDeviceTaskAbort}},
      {"all streams have one priority", {&aclrtDeviceGetStreamPriorityRange}},
      {"devices have no UUID", {&aclrtDeviceGetUuid}},
  };
  std::vector<Lack> lacks;
  for (const Feature& f : features) {
    for (const SymbolBase* symbol : f.needs) {
      if (symbol->available()) continue;
      lacks.push_back({f.name, absence(*symbol)});
      break;
    }
  }
  return lacks;
}

}  // namespace torch_npu::cann
