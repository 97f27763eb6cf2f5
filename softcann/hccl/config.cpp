// Process-wide settings of collective communication, and its error texts.
#include <atomic>

#include "softcann/api_hccl.h"
#include "softcann/core/error.h"

namespace softcann {
namespace {

std::atomic<int32_t> deterministic{0};

}  // namespace

HcclResult api::HcclSetConfig(HcclConfig config, HcclConfigValue configValue) {
  if (config != HCCL_DETERMINISTIC) {
    return static_cast<HcclResult>(fail(HCCL_E_PARA, "HcclSetConfig: %d is no setting; HCCL_DETERMINISTIC is", static_cast<int>(config)));
  }
  deterministic = configValue.value;
  return HCCL_SUCCESS;
}

HcclResult api::HcclGetConfig(HcclConfig config, HcclConfigValue* configValue) {
  if (configValue == nullptr) return static_cast<HcclResult>(fail(HCCL_E_PTR, "HcclGetConfig: configValue is null"));
  if (config != HCCL_DETERMINISTIC) {
    return static_cast<HcclResult>(fail(HCCL_E_PARA, "HcclGetConfig: %d is no setting; HCCL_DETERMINISTIC is", static_cast<int>(config)));
  }
  configValue->value = deterministic;
  return HCCL_SUCCESS;
}

}  // namespace softcann
