// Initialisation, devices, contexts, what a reset ends, and the fork rule.
#include <cstring>

#include "runtime_test.h"

static void test_initialisation() {
  CHECK(aclInit("/nowhere/acl.json") == ACL_ERROR_INVALID_FILE);
  CHECK(contains(message(), "/nowhere/acl.json"));
  CHECK(aclInit(nullptr) == ACL_SUCCESS);
  CHECK(aclInit(nullptr) == ACL_ERROR_REPEAT_INITIALIZE);
  uint64_t count = 99;
  CHECK(aclFinalizeReference(&count) == ACL_SUCCESS && count == 1);
  CHECK(aclFinalize() == ACL_SUCCESS);
  CHECK(aclFinalize() == ACL_ERROR_REPEAT_FINALIZE);
  CHECK(aclInit("") == ACL_SUCCESS);
}

static void test_before_any_device() {
  int32_t device = -1;
  CHECK(aclrtGetDevice(&device) == ACL_ERROR_RT_CONTEXT_NULL);
  CHECK(contains(message(), "aclrtSetDevice"));
  CHECK(message().empty());  // handed out once
  aclrtContext context = nullptr;
  CHECK(aclrtGetCurrentContext(&context) == ACL_ERROR_RT_CONTEXT_NULL);
  void* p = nullptr;
  CHECK(aclrtMalloc(&p, 512, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_ERROR_RT_CONTEXT_NULL);
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_ERROR_RT_CONTEXT_NULL);
  CHECK(aclrtResetDevice(0) == ACL_ERROR_RT_CONTEXT_NULL);
  CHECK(aclrtPeekAtLastError(ACL_RT_THREAD_LEVEL) == ACL_ERROR_RT_CONTEXT_NULL);
  CHECK(aclrtGetLastError(ACL_RT_THREAD_LEVEL) == ACL_ERROR_RT_CONTEXT_NULL);
  CHECK(aclrtGetLastError(ACL_RT_THREAD_LEVEL) == ACL_SUCCESS);
  uint32_t count = 0;
  CHECK(aclrtGetDeviceCount(&count) == ACL_SUCCESS && count == 2);
  CHECK(aclrtSetDevice(2) == ACL_ERROR_RT_INVALID_DEVICEID);
  CHECK(contains(message(), "allowed are 0 to 1"));
  CHECK(aclrtSetDevice(-1) == ACL_ERROR_RT_INVALID_DEVICEID);
}

static void test_contexts() {
  int32_t device = -1;
  CHECK(aclrtSetDevice(1) == ACL_SUCCESS && aclrtGetDevice(&device) == ACL_SUCCESS && device == 1);
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS && aclrtGetDevice(&device) == ACL_SUCCESS && device == 0);
  aclrtContext first = nullptr, own = nullptr, now = nullptr;
  CHECK(aclrtGetCurrentContext(&first) == ACL_SUCCESS);
  std::thread([&] {
    CHECK(aclrtGetDevice(&device) == ACL_ERROR_RT_CONTEXT_NULL);  // per thread
    CHECK(aclrtSetCurrentContext(first) == ACL_SUCCESS);
    CHECK(aclrtGetDevice(&device) == ACL_SUCCESS && device == 0);
  }).join();
  CHECK(aclrtCreateContext(&own, 1) == ACL_SUCCESS);
  CHECK(aclrtGetCurrentContext(&now) == ACL_SUCCESS && now == own);
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS);
  CHECK(aclrtSetCurrentContext(first) == ACL_SUCCESS);
  void* p = nullptr;
  CHECK(aclrtMalloc(&p, 64, ACL_MEM_MALLOC_NORMAL_ONLY) == ACL_SUCCESS);
  CHECK(aclrtMemsetAsync(p, 64, 0, 64, stream) == ACL_ERROR_RT_STREAM_CONTEXT);
  CHECK(contains(message(), "device 1"));
  CHECK(aclrtDestroyContext(first) == ACL_ERROR_RT_PARAM_INVALID);  // the device's own
  CHECK(aclrtDestroyContext(own) == ACL_SUCCESS);
  CHECK(aclrtDestroyContext(own) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtSetCurrentContext(own) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtSynchronizeStream(stream) == ACL_ERROR_RT_PARAM_INVALID);  // went with its context
  CHECK(aclrtSetCurrentContext(&device) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtFree(p) == ACL_SUCCESS);
}

static void test_reset() {
  CHECK(aclrtSetDevice(1) == ACL_SUCCESS);
  aclrtStream stream = nullptr;
  aclrtEvent event = nullptr;
  void* p = nullptr;
  size_t free_before = 0, free_after = 0, total = 0;
  CHECK(aclrtGetMemInfo(ACL_HBM_MEM, &free_before, &total) == ACL_SUCCESS);
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS && aclrtCreateEvent(&event) == ACL_SUCCESS);
  CHECK(aclrtMalloc(&p, 1 << 20, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
  CHECK(aclrtMemsetAsync(p, 1 << 20, 1, 1 << 20, stream) == ACL_SUCCESS);
  CHECK(aclrtRecordEvent(event, stream) == ACL_SUCCESS);
  CHECK(aclrtResetDevice(1) == ACL_SUCCESS);
  int32_t device = -1;
  CHECK(aclrtGetDevice(&device) == ACL_ERROR_RT_CONTEXT_NULL);
  CHECK(contains(message(), "reset"));
  CHECK(aclrtSynchronizeStream(stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtSynchronizeEvent(event) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtDestroyStream(stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtFree(p) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "freed already"));
  CHECK(aclrtSetDevice(1) == ACL_SUCCESS);
  CHECK(aclrtGetMemInfo(ACL_HBM_MEM, &free_after, &total) == ACL_SUCCESS && free_after == free_before);

  // A thread that set the device keeps it until it resets it or ends.
  std::atomic<int> stage{0};
  std::thread other([&] {
    CHECK(aclrtSetDevice(1) == ACL_SUCCESS);
    stage = 1;
    while (stage != 2) std::this_thread::yield();
    int32_t d = -1;
    CHECK(aclrtGetDevice(&d) == ACL_SUCCESS && d == 1);
  });
  while (stage != 1) std::this_thread::yield();
  CHECK(aclrtResetDevice(1) == ACL_SUCCESS);
  int32_t active = -1;
  CHECK(aclrtGetPrimaryCtxState(1, nullptr, &active) == ACL_SUCCESS && active == 1);
  stage = 2;
  other.join();
  CHECK(aclrtResetDeviceForce(1) == ACL_SUCCESS);
  CHECK(aclrtGetPrimaryCtxState(1, nullptr, &active) == ACL_SUCCESS && active == 0);
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
}

static void test_peers() {
  int32_t can = -1, status = -1;
  CHECK(aclrtDeviceCanAccessPeer(&can, 0, 1) == ACL_SUCCESS && can == 1);
  CHECK(aclrtDeviceCanAccessPeer(&can, 0, 0) == ACL_SUCCESS && can == 0);
  CHECK(aclrtDeviceCanAccessPeer(&can, 0, 7) == ACL_ERROR_RT_INVALID_DEVICEID);
  void *here = nullptr, *there = nullptr;
  CHECK(aclrtSetDevice(1) == ACL_SUCCESS && aclrtMalloc(&there, 64, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS && aclrtMalloc(&here, 64, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
  CHECK(aclrtMemcpy(here, 64, there, 64, ACL_MEMCPY_DEVICE_TO_DEVICE) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "aclrtDeviceEnablePeerAccess"));
  CHECK(aclrtDeviceEnablePeerAccess(0, 0) == ACL_ERROR_RT_INVALID_DEVICEID);
  CHECK(aclrtDeviceEnablePeerAccess(1, 0) == ACL_SUCCESS);
  CHECK(aclrtDevicePeerAccessStatus(0, 1, &status) == ACL_SUCCESS && status == 1);
  CHECK(aclrtMemcpy(here, 64, there, 64, ACL_MEMCPY_DEVICE_TO_DEVICE) == ACL_SUCCESS);
  CHECK(aclrtDeviceDisablePeerAccess(1) == ACL_SUCCESS);
  CHECK(aclrtDevicePeerAccessStatus(0, 1, &status) == ACL_SUCCESS && status == 0);
}

// A process that only counted devices may fork; one that used them may not use them in the child.
static void test_fork() {
  CHECK(checks_in_child([] {
    uint32_t count = 0;
    CHECK(aclrtGetDeviceCount(&count) == ACL_SUCCESS);
    CHECK(checks_in_child([] { CHECK(aclrtSetDevice(0) == ACL_SUCCESS); }));
    CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
    void* p = nullptr;
    CHECK(aclrtMalloc(&p, 4096, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS);
    aclrtStream stream = nullptr;
    CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS);
    CHECK(aclrtMemsetAsync(p, 4096, 0, 4096, stream) == ACL_SUCCESS);
    CHECK(checks_in_child([&] {
      uint32_t n = 0;
      void* q = nullptr;
      CHECK(aclrtGetDeviceCount(&n) == ACL_SUCCESS && n == 2);
      CHECK(aclrtSetDevice(0) != ACL_SUCCESS);
      CHECK(contains(message(), "spawn"));
      CHECK(aclrtMalloc(&q, 64, ACL_MEM_MALLOC_HUGE_FIRST) != ACL_SUCCESS);
      CHECK(aclrtFree(p) != ACL_SUCCESS);
      CHECK(aclrtSynchronizeStream(stream) != ACL_SUCCESS);
      CHECK(aclrtSynchronizeStream(nullptr) != ACL_SUCCESS);
      CHECK(aclrtMemsetAsync(p, 64, 0, 64, stream) != ACL_SUCCESS);
      CHECK(aclrtResetDevice(0) != ACL_SUCCESS);
      CHECK(aclFinalize() != ACL_SUCCESS);
      CHECK(contains(message(), "fork"));
    }));
    CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);  // the parent goes on
  }));
}

static uint32_t visible_count(const char* devices, const char* visible) {
  const ChildResult result = in_child([&] {
    unsetenv("SOFTCANN_DEVICE_COUNT");
    unsetenv("LOCAL_WORLD_SIZE");
    if (devices != nullptr) setenv(std::strchr(devices, '=') == nullptr ? "SOFTCANN_DEVICE_COUNT" : "LOCAL_WORLD_SIZE",
                                   std::strchr(devices, '=') == nullptr ? devices : devices + 1, 1);
    if (visible != nullptr) setenv("ASCEND_RT_VISIBLE_DEVICES", visible, 1);
    uint32_t count = 99;
    aclrtGetDeviceCount(&count);
    return static_cast<int>(count);
  });
  return static_cast<uint32_t>(WEXITSTATUS(result.status));
}

static void test_visible_devices() {
  CHECK(visible_count(nullptr, nullptr) == 1);
  CHECK(visible_count("4", nullptr) == 4);
  CHECK(visible_count("0", nullptr) == 0);
  CHECK(visible_count("=3", nullptr) == 3);
  CHECK(visible_count("4", "2,0") == 2);
  CHECK(visible_count("4", "1,9,2") == 1);
  CHECK(visible_count("4", "") == 0);
  CHECK(visible_count("many", nullptr) == 1);
  CHECK(checks_in_child([] {
    setenv("ASCEND_RT_VISIBLE_DEVICES", "1", 1);
    int32_t physical = -1, logical = -1;
    CHECK(aclrtGetPhyDevIdByLogicDevId(0, &physical) == ACL_SUCCESS && physical == 1);
    CHECK(aclrtGetLogicDevIdByPhyDevId(1, &logical) == ACL_SUCCESS && logical == 0);
    CHECK(aclrtGetLogicDevIdByPhyDevId(0, &logical) == ACL_ERROR_RT_INVALID_DEVICEID);
  }));
}

int main() {
  setenv("SOFTCANN_DEVICE_COUNT", "2", 1);
  test_visible_devices();
  test_fork();
  test_initialisation();
  test_before_any_device();
  test_contexts();
  test_reset();
  test_peers();
  CHECK(aclFinalize() == ACL_SUCCESS);
  return check_summary();
}
