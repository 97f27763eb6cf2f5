// What the devices and this CANN are.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "softcann/api_ascendcl.h"
#include "softcann/core/version.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/memory_arena.h"
#include "softcann/runtime/soc.h"
#include "softcann/runtime/stream.h"

namespace softcann {
using namespace runtime;

namespace {

// *answer = value
template <class T, class V>
aclError give(const char* function, T* answer, V value) {
  if (answer == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: the pointer for the answer is null", function);
  *answer = static_cast<T>(value);
  return ACL_SUCCESS;
}

// The same for what a device is asked.
template <class T, class V>
aclError give_of(const char* function, int64_t device, T* answer, V value) {
  if (const int code = check_device(static_cast<int>(device), function)) return code;
  return give(function, answer, value);
}

template <size_t N>
void set_text(char (&field)[N], std::string_view text) {
  const size_t n = std::min(N - 1, text.size());
  memcpy(field, text.data(), n);
  field[n] = '\0';
}

// The part of "9.1.0" or "8.3.RC1" after the n-th dot.
std::string version_part(int n) {
  std::string_view rest = softcannRelease;
  for (; n > 0; --n) {
    const size_t dot = rest.find('.');
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  }
  return std::string(rest.substr(0, rest.find('.')));
}

// The driver has versions of its own.
constexpr const char* kDriverVersion = "26.0.RC1";

constexpr aclCannAttr kAttributes[] = {ACL_CANN_ATTR_INF_NAN, ACL_CANN_ATTR_BF16, ACL_CANN_ATTR_JIT_COMPILE};

struct Attribute {
  aclrtDevAttr name;
  int64_t value;
};

}  // namespace

const char* api::aclrtGetSocName() { return config().soc.c_str(); }

aclError api::aclrtGetRunMode(aclrtRunMode* runMode) { return give("aclrtGetRunMode", runMode, ACL_HOST); }

aclError api::aclrtGetVersion(int32_t* majorVersion, int32_t* minorVersion, int32_t* patchVersion) {
  if (majorVersion == nullptr || minorVersion == nullptr || patchVersion == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetVersion: a pointer for an answer is null");
  }
  *majorVersion = ACL_MAJOR_VERSION;
  *minorVersion = ACL_MINOR_VERSION;
  *patchVersion = ACL_PATCH_VERSION;
  return ACL_SUCCESS;
}

aclError api::aclsysGetCANNVersion(aclCANNPackageName name, aclCANNPackageVersion* version) {
  if (version == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclsysGetCANNVersion: version is null");
  if (name < ACL_PKG_NAME_CANN || name > ACL_PKG_NAME_DRIVER) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclsysGetCANNVersion: name is %d, allowed are 0 to 7 (aclCANNPackageName)", static_cast<int>(name));
  }
  *version = {};
  if (name == ACL_PKG_NAME_DRIVER) {
    set_text(version->version, kDriverVersion);
    return ACL_SUCCESS;
  }
  set_text(version->version, softcannRelease);
  set_text(version->majorVersion, version_part(0));
  set_text(version->minorVersion, version_part(1));
  set_text(version->releaseVersion, version_part(2));
  set_text(version->patchVersion, version_part(3));
  return ACL_SUCCESS;
}

// Every package of this CANN has its version. The text fits into the 128 bytes that a client brings.
aclError api::aclsysGetVersionStr(char* pkgName, char* versionStr) {
  if (pkgName == nullptr || versionStr == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclsysGetVersionStr: %s is null", pkgName == nullptr ? "pkgName" : "versionStr");
  }
  strcpy(versionStr, strcmp(pkgName, "driver") == 0 ? kDriverVersion : softcannRelease);
  return ACL_SUCCESS;
}

// 9.1.0 -> 90100000
aclError api::aclsysGetVersionNum(char* pkgName, int32_t* versionNum) {
  if (pkgName == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclsysGetVersionNum: pkgName is null");
  int number = 0;
  for (int part = 0; part < 3; ++part) number = number * 100 + atoi(version_part(part).c_str());
  return give("aclsysGetVersionNum", versionNum, number * 1000);
}

aclError api::aclGetCannAttribute(aclCannAttr cannAttr, int32_t* value) {
  switch (cannAttr) {
    case ACL_CANN_ATTR_INF_NAN: return give("aclGetCannAttribute", value, soc().inf_nan);
    case ACL_CANN_ATTR_BF16: return give("aclGetCannAttribute", value, soc().bf16);
    case ACL_CANN_ATTR_JIT_COMPILE: return give("aclGetCannAttribute", value, 0);
    default: return fail(ACL_ERROR_INVALID_PARAM, "aclGetCannAttribute: cannAttr is %d, allowed are 0 to 2", static_cast<int>(cannAttr));
  }
}

aclError api::aclGetCannAttributeList(const aclCannAttr** cannAttrList, size_t* num) {
  if (cannAttrList == nullptr || num == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclGetCannAttributeList: %s is null", cannAttrList == nullptr ? "cannAttrList" : "num");
  }
  *cannAttrList = kAttributes;
  *num = std::size(kAttributes);
  return ACL_SUCCESS;
}

aclError api::aclGetDeviceCapability(uint32_t deviceId, aclDeviceInfo deviceInfo, int64_t* value) {
  constexpr const char* kName = "aclGetDeviceCapability";
  switch (deviceInfo) {
    case ACL_DEVICE_INFO_AI_CORE_NUM: return give_of(kName, deviceId, value, soc().cube_cores);
    case ACL_DEVICE_INFO_VECTOR_CORE_NUM: return give_of(kName, deviceId, value, soc().vector_cores);
    case ACL_DEVICE_INFO_L2_SIZE: return give_of(kName, deviceId, value, soc().l2_bytes);
    default: return fail(ACL_ERROR_INVALID_PARAM, "%s: deviceInfo is %d, allowed are 0 to 2", kName, static_cast<int>(deviceInfo));
  }
}

aclError api::aclrtGetDeviceInfo(uint32_t deviceId, aclrtDevAttr attr, int64_t* value) {
  constexpr const char* kName = "aclrtGetDeviceInfo";
  const Soc& s = soc();
  const auto as_number = [](size_t n) { return static_cast<int64_t>(n); };
  const Attribute attributes[] = {
      {ACL_DEV_ATTR_AICPU_CORE_NUM, s.ai_cpus},
      {ACL_DEV_ATTR_AICORE_CORE_NUM, s.cube_cores},
      {ACL_DEV_ATTR_CUBE_CORE_NUM, s.cube_cores},
      {ACL_DEV_ATTR_VECTOR_CORE_NUM, s.vector_cores},
      {ACL_DEV_ATTR_WARP_SIZE, 32},
      {ACL_DEV_ATTR_MAX_THREAD_PER_VECTOR_CORE, 2048},
      {ACL_DEV_ATTR_UBUF_PER_VECTOR_CORE, as_number(s.local_bytes)},
      {ACL_DEV_ATTR_MAX_GRID_DIM_X, 65535},
      {ACL_DEV_ATTR_MAX_GRID_DIM_Y, 65535},
      {ACL_DEV_ATTR_MAX_GRID_DIM_Z, 65535},
      {ACL_DEV_ATTR_MAX_BLOCK_PER_GRID, 65535},
      {ACL_DEV_ATTR_MAX_THREADS_PER_BLOCK, 2048},
      {ACL_DEV_ATTR_MAX_BLOCK_DIM_X, 2048},
      {ACL_DEV_ATTR_MAX_BLOCK_DIM_Y, 2048},
      {ACL_DEV_ATTR_MAX_BLOCK_DIM_Z, 2048},
      {ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE, as_number(config().memory)},
      {ACL_DEV_ATTR_L2_CACHE_SIZE, as_number(s.l2_bytes)},
      {ACL_DEV_ATTR_SMP_ID, 0},
      {ACL_DEV_ATTR_PHY_CHIP_ID, deviceId < config().visible.size() ? config().visible[deviceId] : 0},
      {ACL_DEV_ATTR_SUPER_POD_DEVICE_ID, -1},
      {ACL_DEV_ATTR_SUPER_POD_SERVER_ID, -1},
      {ACL_DEV_ATTR_SUPER_POD_ID, -1},
      {ACL_DEV_ATTR_CUST_OP_PRIVILEGE, 0},
      {ACL_DEV_ATTR_MAINBOARD_ID, 0},
      {ACL_DEV_ATTR_HD_CONNECT_TYPE, ACL_HOST_DEVICE_CONNECT_TYPE_PCIE},
      {ACL_DEV_ATTR_DEVICE_FORM_FACTOR, ACL_DEVICE_FORM_FACTOR_PCIE_CARD},
      {ACL_DEV_ATTR_IS_VIRTUAL, 1},
      {ACL_DEV_ATTR_NPU_ARCH, s.architecture},
  };
  for (const Attribute& attribute : attributes) {
    if (attribute.name == attr) return give_of(kName, deviceId, value, attribute.value);
  }
  return fail(ACL_ERROR_INVALID_PARAM, "%s: attr is %d, which is no attribute (aclrtDevAttr)", kName, static_cast<int>(attr));
}

// Both features are of the hardware's own schedulers.
aclError api::aclrtGetDeviceCapability(int32_t deviceId, aclrtDevFeatureType devFeatureType, int32_t* value) {
  return give_of("aclrtGetDeviceCapability", deviceId, value, ACL_DEV_FEATURE_NOT_SUPPORT);
}

aclError api::aclplatformGetDeviceInfo(aclplatformDevInfo infoType, char* value, uint32_t maxLen) {
  constexpr const char* kName = "aclplatformGetDeviceInfo";
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: value is null", kName);
  const Soc& s = soc();
  std::string text;
  switch (infoType) {
    case ACL_PLATFORM_AICORE_CNT:
    case ACL_PLATFORM_CUBE_CORE_CNT: text = std::to_string(s.cube_cores); break;
    case ACL_PLATFORM_VECTOR_CORE_CNT: text = std::to_string(s.vector_cores); break;
    case ACL_PLATFORM_AICORE_UB_SIZE: text = std::to_string(s.local_bytes); break;
    case ACL_PLATFORM_L2_SIZE: text = std::to_string(s.l2_bytes); break;
    case ACL_PLATFORM_MEMORY_SIZE: text = std::to_string(config().memory); break;
    case ACL_PLATFORM_SOC_VERSION: text = config().soc; break;
    case ACL_PLATFORM_NPU_ARCH: text = std::to_string(s.architecture); break;
    default:
      return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "%s: softcann has no answer for infoType %d", kName, static_cast<int>(infoType));
  }
  if (text.size() + 1 > maxLen) return fail(ACL_ERROR_INVALID_PARAM, "%s: maxLen is %u, the answer takes %zu", kName, maxLen, text.size() + 1);
  memcpy(value, text.c_str(), text.size() + 1);
  return ACL_SUCCESS;
}

aclError api::aclrtCheckArchCompatibility(const char* socVersion, int32_t* canCompatible) {
  if (socVersion == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtCheckArchCompatibility: socVersion is null");
  return give("aclrtCheckArchCompatibility", canCompatible, config().soc == socVersion);
}

// ---- identity of devices ----

aclError api::aclrtDeviceGetUuid(int32_t deviceId, aclrtUuid* uuid) {
  if (uuid == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtDeviceGetUuid: uuid is null");
  if (const int code = check_device(deviceId, "aclrtDeviceGetUuid")) return code;
  *uuid = {{'s', 'o', 'f', 't', 'c', 'a', 'n', 'n'}};
  uuid->bytes[sizeof(uuid->bytes) - 1] = static_cast<char>(config().visible[static_cast<size_t>(deviceId)]);
  return ACL_SUCCESS;
}

// Places on an imaginary bus: 0000:<device>:00.0
aclError api::aclrtDeviceGetPCIBusId(int32_t deviceId, char* pciBusId, int32_t len) {
  constexpr const char* kName = "aclrtDeviceGetPCIBusId";
  if (pciBusId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: pciBusId is null", kName);
  if (const int code = check_device(deviceId, kName)) return code;
  char text[16];
  const int length = snprintf(text, sizeof(text), "0000:%02x:00.0", config().visible[static_cast<size_t>(deviceId)]);
  if (len <= length) return fail(ACL_ERROR_INVALID_PARAM, "%s: len is %d, the answer takes %d", kName, len, length + 1);
  memcpy(pciBusId, text, static_cast<size_t>(length) + 1);
  return ACL_SUCCESS;
}

aclError api::aclrtDeviceGetByPCIBusId(const char* pciBusId, int32_t* deviceId) {
  constexpr const char* kName = "aclrtDeviceGetByPCIBusId";
  if (pciBusId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: pciBusId is null", kName);
  unsigned physical = 0;
  int end = 0;
  if (sscanf(pciBusId, "0000:%2x:00.0%n", &physical, &end) == 1 && end != 0 && pciBusId[end] == '\0') {
    const auto& visible = config().visible;
    const auto it = std::find(visible.begin(), visible.end(), static_cast<int>(physical));
    if (it != visible.end()) return give(kName, deviceId, it - visible.begin());
  }
  return fail(ACL_ERROR_RT_INVALID_DEVICEID, "%s: no device is at \"%s\"", kName, pciBusId);
}

// Users count visible devices, and so does the logic of the driver; physical numbers are those of SOFTCANN_DEVICE_COUNT.
aclError api::aclrtGetLogicDevIdByUserDevId(const int32_t userDevid, int32_t* const logicDevId) {
  return give_of("aclrtGetLogicDevIdByUserDevId", userDevid, logicDevId, userDevid);
}
aclError api::aclrtGetUserDevIdByLogicDevId(const int32_t logicDevId, int32_t* const userDevid) {
  return give_of("aclrtGetUserDevIdByLogicDevId", logicDevId, userDevid, logicDevId);
}
aclError api::aclrtGetPhyDevIdByLogicDevId(const int32_t logicDevId, int32_t* const phyDevId) {
  if (const int code = check_device(logicDevId, "aclrtGetPhyDevIdByLogicDevId")) return code;
  return give("aclrtGetPhyDevIdByLogicDevId", phyDevId, config().visible[static_cast<size_t>(logicDevId)]);
}
aclError api::aclrtGetPhyDevIdByUserDevId(const int32_t userDevId, int32_t* const phyDevId) {
  if (const int code = check_device(userDevId, "aclrtGetPhyDevIdByUserDevId")) return code;
  return give("aclrtGetPhyDevIdByUserDevId", phyDevId, config().visible[static_cast<size_t>(userDevId)]);
}

namespace {
aclError find_physical_device(const char* function, int32_t physical, int32_t* answer) {
  const auto& visible = config().visible;
  const auto it = std::find(visible.begin(), visible.end(), physical);
  if (it == visible.end()) return fail(ACL_ERROR_RT_INVALID_DEVICEID, "%s: physical device %d does not exist or is not visible", function, physical);
  return give(function, answer, it - visible.begin());
}
}  // namespace

aclError api::aclrtGetLogicDevIdByPhyDevId(const int32_t phyDevId, int32_t* const logicDevId) {
  return find_physical_device("aclrtGetLogicDevIdByPhyDevId", phyDevId, logicDevId);
}
aclError api::aclrtGetUserDevIdByPhyDevId(const int32_t phyDevId, int32_t* const userDevId) {
  return find_physical_device("aclrtGetUserDevIdByPhyDevId", phyDevId, userDevId);
}

// The process id that others name in the SetImportPid functions.
aclError api::aclrtDeviceGetBareTgid(int32_t* pid) { return give("aclrtDeviceGetBareTgid", pid, getpid()); }

aclError api::aclrtGetDevicesTopo(uint32_t deviceId, uint32_t otherDeviceId, uint64_t* value) {
  if (const int code = check_device(static_cast<int>(otherDeviceId), "aclrtGetDevicesTopo")) return code;
  return give_of("aclrtGetDevicesTopo", deviceId, value, ACL_RT_DEVS_TOPOLOGY_HCCS);
}

// ---- state of devices ----

aclError api::aclrtQueryDeviceStatus(int32_t deviceId, aclrtDeviceStatus* deviceStatus) {
  return give_of("aclrtQueryDeviceStatus", deviceId, deviceStatus, ACL_RT_DEVICE_STATUS_NORMAL);
}

aclError api::aclrtGetDeviceUtilizationRate(int32_t deviceId, aclrtUtilizationInfo* utilizationInfo) {
  constexpr const char* kName = "aclrtGetDeviceUtilizationRate";
  if (utilizationInfo == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: utilizationInfo is null", kName);
  if (const int code = check_fork(kName)) return code;
  if (const int code = check_device(deviceId, kName)) return code;
  const auto streams = streams_of(deviceId);
  const bool busy = std::any_of(streams.begin(), streams.end(), [](Stream* s) { return !s->idle(); });
  const MemoryArena* arena = MemoryArena::existing();
  utilizationInfo->cubeUtilization = utilizationInfo->vectorUtilization = busy ? 100 : 0;
  utilizationInfo->aicpuUtilization = 0;
  utilizationInfo->memoryUtilization =
      arena == nullptr ? 0 : static_cast<int32_t>(static_cast<double>(arena->used(deviceId)) * 100 / static_cast<double>(config().memory));
  return ACL_SUCCESS;
}

// No memory of a process wears out.
aclError api::aclrtGetMemUceInfo(int32_t deviceId, aclrtMemUceInfo* memUceInfoArray, size_t arraySize, size_t* retSize) {
  return give_of("aclrtGetMemUceInfo", deviceId, retSize, 0);
}
aclError api::aclrtMemUceRepair(int32_t deviceId, aclrtMemUceInfo* memUceInfoArray, size_t arraySize) {
  return check_device(deviceId, "aclrtMemUceRepair");
}
aclError api::aclrtGetErrorVerbose(int32_t deviceId, aclrtErrorInfo* errorInfo) {
  if (errorInfo == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetErrorVerbose: errorInfo is null");
  if (const int code = check_device(deviceId, "aclrtGetErrorVerbose")) return code;
  *errorInfo = {};
  errorInfo->errorType = ACL_RT_NO_ERROR;
  return ACL_SUCCESS;
}
aclError api::aclrtRepairError(int32_t deviceId, const aclrtErrorInfo* errorInfo) { return check_device(deviceId, "aclrtRepairError"); }

}  // namespace softcann
