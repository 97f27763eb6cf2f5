// Where clients report their own host events to a profiler. Nobody listens: callbacks are never called, reports are dropped.
#include <chrono>
#include <cstring>
#include <string_view>

#include "softcann/api_profapi.h"

namespace softcann {

int32_t api::MsprofRegisterCallback(uint32_t moduleId, ProfCommandHandle handle) { return MSPROF_ERROR_NONE; }

int32_t api::MsprofReportApi(uint32_t nonPersistantFlag, const struct MsprofApi* api) { return MSPROF_ERROR_NONE; }

int32_t api::MsprofReportCompactInfo(uint32_t nonPersistantFlag, const VOID_PTR data, uint32_t length) {
  return MSPROF_ERROR_NONE;
}

int32_t api::MsprofReportAdditionalInfo(uint32_t nonPersistantFlag, const VOID_PTR data, uint32_t length) {
  return MSPROF_ERROR_NONE;
}

// Nanoseconds of a clock that never goes back.
uint64_t api::MsprofSysCycleTime() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// Equal texts have equal ids (FNV-1a).
uint64_t api::MsprofGetHashId(const char* hashInfo, size_t length) {
  if (hashInfo == nullptr) return 0;
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : std::string_view(hashInfo, length)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace softcann
