// What the device says of itself, settings that are kept, messages per thread, faults on request.
#include <cstring>

#include "acl/acl_platform.h"
#include "runtime_test.h"
#include "softcann/softcann.h"

static int64_t info(aclrtDevAttr attribute) {
  int64_t value = -1;
  CHECK(aclrtGetDeviceInfo(0, attribute, &value) == ACL_SUCCESS);
  return value;
}

static void test_identity() {
  CHECK(std::strcmp(aclrtGetSocName(), "Ascend910B2") == 0);
  CHECK(std::strlen(softcannVersion()) > 0);
  CHECK(info(ACL_DEV_ATTR_CUBE_CORE_NUM) == 24 && info(ACL_DEV_ATTR_VECTOR_CORE_NUM) == 48);
  CHECK(info(ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE) == int64_t{512} << 20);
  int64_t cores = 0;
  CHECK(aclGetDeviceCapability(0, ACL_DEVICE_INFO_VECTOR_CORE_NUM, &cores) == ACL_SUCCESS && cores == 48);
  CHECK(aclGetDeviceCapability(3, ACL_DEVICE_INFO_VECTOR_CORE_NUM, &cores) == ACL_ERROR_RT_INVALID_DEVICEID);
  CHECK(aclrtGetDeviceInfo(0, static_cast<aclrtDevAttr>(9999), &cores) == ACL_ERROR_INVALID_PARAM);
  int32_t inf_nan = 0;
  CHECK(aclGetCannAttribute(ACL_CANN_ATTR_INF_NAN, &inf_nan) == ACL_SUCCESS && inf_nan == 1);
  CHECK(aclGetCannAttribute(ACL_CANN_ATTR_UNDEFINED, &inf_nan) == ACL_ERROR_INVALID_PARAM);
  aclrtUuid one{}, two{};
  CHECK(aclrtDeviceGetUuid(0, &one) == ACL_SUCCESS && aclrtDeviceGetUuid(1, &two) == ACL_SUCCESS);
  CHECK(std::memcmp(&one, &two, sizeof(one)) != 0);
  char bus[32];
  int32_t device = -1;
  CHECK(aclrtDeviceGetPCIBusId(1, bus, sizeof(bus)) == ACL_SUCCESS);
  CHECK(aclrtDeviceGetByPCIBusId(bus, &device) == ACL_SUCCESS && device == 1);
  CHECK(aclrtDeviceGetPCIBusId(1, bus, 5) == ACL_ERROR_INVALID_PARAM);
  char text[16];
  CHECK(aclplatformGetDeviceInfo(ACL_PLATFORM_NPU_ARCH, text, sizeof(text)) == ACL_SUCCESS && std::string(text) == "2201");
  aclrtRunMode mode = ACL_DEVICE;
  CHECK(aclrtGetRunMode(&mode) == ACL_SUCCESS && mode == ACL_HOST);
}

static void test_versions() {
  aclCANNPackageVersion version{};
  CHECK(aclsysGetCANNVersion(ACL_PKG_NAME_CANN, &version) == ACL_SUCCESS);
  const std::string number = version.version;
  CHECK(number == std::string(version.majorVersion) + "." + version.minorVersion + "." + version.releaseVersion);
  char name[] = "ops_nn", text[ACL_PKG_VERSION_MAX_SIZE];
  CHECK(aclsysGetVersionStr(name, text) == ACL_SUCCESS && number == text);
  CHECK(aclsysGetCANNVersion(ACL_PKG_NAME_DRIVER, &version) == ACL_SUCCESS && number != version.version);
  CHECK(aclsysGetCANNVersion(static_cast<aclCANNPackageName>(77), &version) == ACL_ERROR_INVALID_PARAM);
  int32_t major = 0, minor = 0, patch = -1;
  CHECK(aclrtGetVersion(&major, &minor, &patch) == ACL_SUCCESS);
  CHECK(major == ACL_MAJOR_VERSION && minor == ACL_MINOR_VERSION && patch == ACL_PATCH_VERSION);
}

static void test_settings() {
  int64_t value = -1;
  CHECK(aclrtSetSysParamOpt(ACL_OPT_DETERMINISTIC, 1) == ACL_SUCCESS);
  CHECK(aclrtGetSysParamOpt(ACL_OPT_DETERMINISTIC, &value) == ACL_SUCCESS && value == 1);
  CHECK(aclrtCtxGetSysParamOpt(ACL_OPT_DETERMINISTIC, &value) == ACL_SUCCESS && value == 0);
  CHECK(aclrtSetSysParamOpt(static_cast<aclSysParamOpt>(50), 1) == ACL_ERROR_INVALID_PARAM);
  aclrtFloatOverflowMode mode = ACL_RT_OVERFLOW_MODE_UNDEF;
  CHECK(aclrtSetDeviceSatMode(ACL_RT_OVERFLOW_MODE_SATURATION) == ACL_SUCCESS);
  CHECK(aclrtGetDeviceSatMode(&mode) == ACL_SUCCESS && mode == ACL_RT_OVERFLOW_MODE_SATURATION);
  uint64_t actual = 0;
  uint32_t ms = 0;
  CHECK(aclrtSetOpExecuteTimeOutV2(547000000, &actual) == ACL_SUCCESS && actual == 547000000);
  CHECK(aclrtGetOpExecuteTimeout(&ms) == ACL_SUCCESS && ms == 547000);
  uint32_t limit = 0;
  CHECK(aclrtSetDeviceResLimit(0, ACL_RT_DEV_RES_CUBE_CORE, 8) == ACL_SUCCESS);
  CHECK(aclrtGetResInCurrentThread(ACL_RT_DEV_RES_CUBE_CORE, &limit) == ACL_SUCCESS && limit == 8);
  CHECK(aclrtSetDeviceResLimit(0, ACL_RT_DEV_RES_CUBE_CORE, 25) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtSetStreamResLimit(nullptr, ACL_RT_DEV_RES_VECTOR_CORE, 2) == ACL_SUCCESS);
  CHECK(aclrtUseStreamResInCurrentThread(nullptr) == ACL_SUCCESS);
  CHECK(aclrtGetResInCurrentThread(ACL_RT_DEV_RES_VECTOR_CORE, &limit) == ACL_SUCCESS && limit == 2);
  CHECK(aclrtUnuseStreamResInCurrentThread(nullptr) == ACL_SUCCESS && aclrtResetDeviceResLimit(0) == ACL_SUCCESS);
  CHECK(aclrtGetResInCurrentThread(ACL_RT_DEV_RES_VECTOR_CORE, &limit) == ACL_SUCCESS && limit == 48);
  aclmdlRICaptureStatus capture = ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED;
  aclmdlRI model = &limit;
  CHECK(aclmdlRICaptureGetInfo(nullptr, &capture, &model) == ACL_SUCCESS && capture == ACL_MODEL_RI_CAPTURE_STATUS_NONE && model == nullptr);
  // A wait for an event ends after the time that was set.
  CHECK(aclrtSetOpWaitTimeout(1) == ACL_SUCCESS);
  aclrtStream a = nullptr, b = nullptr;
  aclrtEvent event = nullptr;
  Gate gate;
  CHECK(aclrtCreateStream(&a) == ACL_SUCCESS && aclrtCreateStream(&b) == ACL_SUCCESS && aclrtCreateEvent(&event) == ACL_SUCCESS);
  CHECK(gate.start(a) == ACL_SUCCESS && aclrtRecordEvent(event, a) == ACL_SUCCESS && aclrtStreamWaitEvent(b, event) == ACL_SUCCESS);
  CHECK(aclrtSetOpWaitTimeout(0) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(b) == ACL_ERROR_RT_WAIT_TIMEOUT);
  gate.open();
  CHECK(aclrtSynchronizeDevice() == ACL_SUCCESS);
}

static void test_messages_per_thread() {
  CHECK(aclrtSetDevice(17) == ACL_ERROR_RT_INVALID_DEVICEID);
  std::thread([] { CHECK(message().empty() && aclrtPeekAtLastError(ACL_RT_THREAD_LEVEL) == ACL_SUCCESS); }).join();
  CHECK(contains(message(), "device 17"));
}

static void test_environment() {
  CHECK(checks_in_child([] {
    setenv("SOFTCANN_SOC", "Ascend910B4-1", 1);
    setenv("SOFTCANN_MEMORY", "1.5g", 1);
    CHECK(std::strcmp(aclrtGetSocName(), "Ascend910B4-1") == 0);
    CHECK(info(ACL_DEV_ATTR_CUBE_CORE_NUM) == 20 && info(ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE) == int64_t{1536} << 20);
  }));
  const ChildResult result = in_child([] {
    setenv("SOFTCANN_MEMORY", "plenty", 1);
    return info(ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE) > 0 ? 0 : 1;
  });
  CHECK(WEXITSTATUS(result.status) == 0 && contains(result.output, "SOFTCANN_MEMORY=\"plenty\""));
}

// The n-th call fails as it was asked to, the others work. SOFTCANN_FAULT is read when the library is loaded.
static void test_faults(const char* program) {
  const ChildResult result = in_child([=] {
    setenv("SOFTCANN_FAULT", "aclrtMalloc:2:207001,aclrtMemset:1+", 1);
    execl(program, program, "faults", nullptr);
    return 1;
  });
  CHECK(passed(result));
}

static void run_with_faults() {
  void *a = nullptr, *b = nullptr;
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
  CHECK(aclrtMalloc(&a, 64, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
  CHECK(aclrtMalloc(&b, 64, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_ERROR_RT_MEMORY_ALLOCATION && b == nullptr);
  CHECK(contains(message(), "SOFTCANN_FAULT"));
  CHECK(aclrtMalloc(&b, 64, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
  for (int i = 0; i < 3; ++i) CHECK(aclrtMemset(a, 64, 0, 64) == ACL_ERROR_INTERNAL_ERROR);
  CHECK(aclrtFree(a) == ACL_SUCCESS && aclrtFree(b) == ACL_SUCCESS);
}

int main(int argc, char** argv) {
  setenv("SOFTCANN_DEVICE_COUNT", "2", 1);
  if (argc > 1) {
    run_with_faults();
    return check_summary();
  }
  test_environment();
  test_faults(argv[0]);
  setenv("SOFTCANN_MEMORY", "512M", 1);
  CHECK(aclInit(nullptr) == ACL_SUCCESS);
  test_identity();
  test_versions();
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
  test_settings();
  test_messages_per_thread();
  CHECK(aclrtResetDevice(0) == ACL_SUCCESS && aclFinalize() == ACL_SUCCESS);
  return check_summary();
}
