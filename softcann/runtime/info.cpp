// What the device is and how it is set: identity, versions, settings that change nothing here.
#include <cstring>
#include <map>

#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"
#include "softcann/runtime/device.h"

namespace softcann {
using namespace runtime;

namespace {
int value_of(int64_t* value, int64_t answer, const char* function) {
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: value is null", function);
  *value = answer;
  return ACL_SUCCESS;
}

std::mutex settings_mutex;
std::map<int, int64_t> system_options, context_options;
}  // namespace

const char* api::aclrtGetSocName() { return config().soc.c_str(); }

aclError api::aclrtGetDeviceInfo(uint32_t deviceId, aclrtDevAttr attr, int64_t* value) {
  if (const int status = check_device(static_cast<int>(deviceId), "aclrtGetDeviceInfo")) return status;
  switch (attr) {
    case ACL_DEV_ATTR_AICORE_CORE_NUM: return value_of(value, 24, "aclrtGetDeviceInfo");
    case ACL_DEV_ATTR_VECTOR_CORE_NUM: return value_of(value, 48, "aclrtGetDeviceInfo");
    case ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE: return value_of(value, static_cast<int64_t>(config().memory), "aclrtGetDeviceInfo");
    default:
      return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "aclrtGetDeviceInfo: softcann does not know attribute %d", static_cast<int>(attr));
  }
}
aclError api::aclGetDeviceCapability(uint32_t deviceId, aclDeviceInfo deviceInfo, int64_t* value) {
  if (const int status = check_device(static_cast<int>(deviceId), "aclGetDeviceCapability")) return status;
  switch (deviceInfo) {
    case ACL_DEVICE_INFO_AI_CORE_NUM: return value_of(value, 24, "aclGetDeviceCapability");
    case ACL_DEVICE_INFO_VECTOR_CORE_NUM: return value_of(value, 48, "aclGetDeviceCapability");
    case ACL_DEVICE_INFO_L2_SIZE: return value_of(value, int64_t{192} << 20, "aclGetDeviceCapability");
    default: return fail(ACL_ERROR_INVALID_PARAM, "aclGetDeviceCapability: %d is no capability", static_cast<int>(deviceInfo));
  }
}
aclError api::aclGetCannAttribute(aclCannAttr cannAttr, int32_t* value) {
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclGetCannAttribute: value is null");
  *value = cannAttr == ACL_CANN_ATTR_INF_NAN ? 1 : 0;
  return ACL_SUCCESS;
}

aclError api::aclsysGetCANNVersion(aclCANNPackageName, aclCANNPackageVersion* version) {
  if (version == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclsysGetCANNVersion: version is null");
  std::memset(version, 0, sizeof *version);
  std::strncpy(version->version, CANN_VERSION, sizeof version->version - 1);
  int major = 0, minor = 0, patch = 0;
  sscanf(CANN_VERSION, "%d.%d.%d", &major, &minor, &patch);
  snprintf(version->majorVersion, sizeof version->majorVersion, "%d", major);
  snprintf(version->minorVersion, sizeof version->minorVersion, "%d", minor);
  snprintf(version->releaseVersion, sizeof version->releaseVersion, "%d", patch);
  return ACL_SUCCESS;
}
aclError api::aclsysGetVersionStr(char*, char* version) {
  if (version == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclsysGetVersionStr: version is null");
  std::strcpy(version, CANN_VERSION);
  return ACL_SUCCESS;
}
aclError api::aclrtGetVersion(int32_t* majorVersion, int32_t* minorVersion, int32_t* patchVersion) {
  if (majorVersion == nullptr || minorVersion == nullptr || patchVersion == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetVersion: a pointer is null");
  }
  *majorVersion = 1, *minorVersion = 16, *patchVersion = 0;
  return ACL_SUCCESS;
}
aclError api::aclrtGetRunMode(aclrtRunMode* runMode) {
  if (runMode == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetRunMode: runMode is null");
  *runMode = ACL_HOST;
  return ACL_SUCCESS;
}

// Options are kept and answered; they select variants of kernels that softcann does not have.
aclError api::aclrtSetSysParamOpt(aclSysParamOpt opt, int64_t value) {
  std::lock_guard lock(settings_mutex);
  system_options[opt] = value;
  return ACL_SUCCESS;
}
aclError api::aclrtGetSysParamOpt(aclSysParamOpt opt, int64_t* value) {
  std::lock_guard lock(settings_mutex);
  return value_of(value, system_options[opt], "aclrtGetSysParamOpt");
}
aclError api::aclrtCtxSetSysParamOpt(aclSysParamOpt opt, int64_t value) {
  std::lock_guard lock(settings_mutex);
  context_options[opt] = value;
  return ACL_SUCCESS;
}
aclError api::aclrtCtxGetSysParamOpt(aclSysParamOpt opt, int64_t* value) {
  std::lock_guard lock(settings_mutex);
  return value_of(value, context_options[opt], "aclrtCtxGetSysParamOpt");
}
aclError api::aclrtSetDeviceSatMode(aclrtFloatOverflowMode) { return ACL_SUCCESS; }
aclError api::aclrtGetDeviceSatMode(aclrtFloatOverflowMode* mode) {
  if (mode == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDeviceSatMode: mode is null");
  *mode = ACL_RT_OVERFLOW_MODE_INFNAN;
  return ACL_SUCCESS;
}
aclError api::aclrtSetOpExecuteTimeOut(uint32_t) { return ACL_SUCCESS; }
aclError api::aclrtSetOpExecuteTimeOutV2(uint64_t timeout, uint64_t* actualTimeout) {
  if (actualTimeout != nullptr) *actualTimeout = timeout;
  return ACL_SUCCESS;
}
aclError api::aclrtSetOpWaitTimeout(uint32_t) { return ACL_SUCCESS; }
aclError api::aclrtPeekAtLastError(aclrtLastErrLevel) { return ACL_SUCCESS; }
aclError api::aclrtGetLastError(aclrtLastErrLevel) { return ACL_SUCCESS; }

}  // namespace softcann
