// Device and host memory: allocation, codes for what must not be done, copies of all kinds, virtual memory, running out.
#include <sys/resource.h>

#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "runtime_test.h"

constexpr size_t kMiB = size_t{1} << 20;

static char* allocate(size_t size, aclrtMemMallocPolicy policy = ACL_MEM_MALLOC_HUGE_FIRST) {
  void* p = nullptr;
  CHECK(aclrtMalloc(&p, size, policy) == ACL_SUCCESS);
  return static_cast<char*>(p);
}

static size_t free_memory() {
  size_t free = 0, total = 0;
  CHECK(aclrtGetMemInfo(ACL_HBM_MEM, &free, &total) == ACL_SUCCESS);
  return free;
}

static std::vector<char> pattern(size_t size, char first = 1) {
  std::vector<char> bytes(size);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

static std::vector<char> read_back(const void* p, size_t size) {
  std::vector<char> bytes(size);
  CHECK(aclrtMemcpy(bytes.data(), size, p, size, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_SUCCESS);
  return bytes;
}

static void write_to(void* p, const std::vector<char>& bytes) {
  CHECK(aclrtMemcpy(p, bytes.size(), bytes.data(), bytes.size(), ACL_MEMCPY_HOST_TO_DEVICE) == ACL_SUCCESS);
}

static void test_allocation() {
  const size_t before = free_memory();
  char* small = allocate(100);
  char* large = allocate(3 * kMiB);
  char* only = allocate(kMiB, ACL_MEM_MALLOC_HUGE_ONLY);
  CHECK(reinterpret_cast<uintptr_t>(small) % 512 == 0);
  CHECK(reinterpret_cast<uintptr_t>(large) % (2 * kMiB) == 0 && reinterpret_cast<uintptr_t>(only) % (2 * kMiB) == 0);
  CHECK(before - free_memory() == 512 + 3 * kMiB + 2 * kMiB);  // huge pages are whole
  void* base = nullptr;
  size_t size = 0;
  CHECK(aclrtMemGetAddressRange(large + 5, &base, &size) == ACL_SUCCESS && base == large && size == 3 * kMiB);
  aclrtPtrAttributes attributes{};
  CHECK(aclrtPointerGetAttributes(large + kMiB, &attributes) == ACL_SUCCESS);
  CHECK(attributes.location.type == ACL_MEM_LOCATION_TYPE_DEVICE && attributes.location.id == 0 && attributes.pageSize == 2 * kMiB);
  CHECK(aclrtPointerGetAttributes(&size, &attributes) == ACL_SUCCESS && attributes.location.type == ACL_MEM_LOCATION_TYPE_UNREGISTERED);
  for (char* p : {small, large, only}) CHECK(aclrtFree(p) == ACL_SUCCESS);
  CHECK(free_memory() == before);
  aclrtMallocAttribute attribute{};
  attribute.attr = ACL_RT_MEM_ATTR_DEVICE_ID;
  attribute.value.deviceId = 1;
  aclrtMallocConfig config{&attribute, 1};
  void* other = nullptr;
  CHECK(aclrtMallocWithCfg(&other, 64, ACL_MEM_MALLOC_HUGE_FIRST, &config) == ACL_SUCCESS);
  CHECK(aclrtPointerGetAttributes(other, &attributes) == ACL_SUCCESS && attributes.location.id == 1);
  CHECK(aclrtFree(other) == ACL_SUCCESS);
}

static void test_rules() {
  void* p = nullptr;
  CHECK(aclrtMalloc(nullptr, 64, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtMalloc(&p, 0, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtMalloc(&p, 64, static_cast<aclrtMemMallocPolicy>(99)) == ACL_ERROR_RT_INVALID_MALLOC_TYPE);
  CHECK(aclrtFree(nullptr) == ACL_ERROR_INVALID_PARAM);
  int on_stack = 0;
  CHECK(aclrtFree(&on_stack) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "memory of the host"));
  char* a = allocate(1000);
  CHECK(aclrtFree(a + 512) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "512 bytes into"));
  CHECK(aclrtFreeHost(a) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "aclrtFree ends it"));
  char host[2000];
  CHECK(aclrtMemcpy(host, 2000, a, 1001, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "which has 1000 bytes"));
  CHECK(aclrtMemcpy(host, 2000, a + 999, 2, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtMemcpy(host, 10, a, 11, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_ERROR_INVALID_PARAM);
  CHECK(contains(message(), "destMax"));
  CHECK(aclrtMemcpy(host, 10, a, 10, ACL_MEMCPY_HOST_TO_DEVICE) == ACL_ERROR_RT_PARAM_INVALID);  // the wrong way round
  CHECK(contains(message(), "the kind says"));
  CHECK(aclrtMemcpy(host, 10, a, 10, static_cast<aclrtMemcpyKind>(17)) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtMemcpy(nullptr, 10, a, 10, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtMemcpy(nullptr, 0, nullptr, 0, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_SUCCESS);
  CHECK(aclrtFree(a) == ACL_SUCCESS);
  CHECK(aclrtFree(a) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "freed already"));
  CHECK(aclrtMemcpy(host, 10, a, 10, ACL_MEMCPY_DEVICE_TO_HOST) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "(1000 bytes, device 0)"));
  CHECK(aclrtMemset(a, 10, 0, 10) == ACL_ERROR_RT_PARAM_INVALID);
}

static void test_copies() {
  constexpr size_t kSize = 300000;  // more than is copied aside
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS);
  const auto bytes = pattern(kSize);
  char *a = allocate(kSize), *b = allocate(kSize);
  void* pinned = nullptr;
  CHECK(aclrtMallocHost(&pinned, kSize) == ACL_SUCCESS);
  write_to(a, bytes);
  CHECK(aclrtMemcpy(b, kSize, a, kSize, ACL_MEMCPY_DEVICE_TO_DEVICE) == ACL_SUCCESS);
  CHECK(read_back(b, kSize) == bytes);
  std::vector<char> host(kSize);
  CHECK(aclrtMemcpy(host.data(), kSize, bytes.data(), kSize, ACL_MEMCPY_HOST_TO_HOST) == ACL_SUCCESS && host == bytes);
  CHECK(aclrtMemset(b, kSize, 0x5a, kSize - 1) == ACL_SUCCESS);
  CHECK(read_back(b, kSize)[kSize - 2] == 0x5a && read_back(b, kSize)[kSize - 1] == bytes[kSize - 1]);
  for (aclrtMemcpyKind kind : {ACL_MEMCPY_DEFAULT, ACL_MEMCPY_HOST_TO_DEVICE}) {
    CHECK(aclrtMemset(b, kSize, 0, kSize) == ACL_SUCCESS);
    CHECK(aclrtMemcpy(b, kSize, bytes.data(), kSize, kind) == ACL_SUCCESS && read_back(b, kSize) == bytes);
  }

  // Pinned memory: the copy is made when the stream comes to it.
  Gate gate;
  memcpy(pinned, bytes.data(), kSize);
  CHECK(aclrtMemset(a, kSize, 0, kSize) == ACL_SUCCESS);
  CHECK(gate.start(stream) == ACL_SUCCESS);
  CHECK(aclrtMemcpyAsync(a, kSize, pinned, kSize, ACL_MEMCPY_HOST_TO_DEVICE, stream) == ACL_SUCCESS);
  CHECK(aclrtMemcpyAsync(b, kSize, a, kSize, ACL_MEMCPY_DEVICE_TO_DEVICE, stream) == ACL_SUCCESS);
  CHECK(aclrtMemsetAsync(a, kSize, 7, kSize, stream) == ACL_SUCCESS);
  CHECK(read_back(a, 1)[0] == 0);
  gate.open();
  CHECK(aclrtMemcpyAsync(pinned, kSize, a, kSize, ACL_MEMCPY_DEVICE_TO_HOST, stream) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(read_back(b, kSize) == bytes && static_cast<char*>(pinned)[kSize - 1] == 7);

  // Pageable memory may change or go when the call returns.
  for (size_t size : {size_t{1000}, kSize}) {
    std::vector<char> source(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    Gate later;
    std::thread opener;
    CHECK(later.start(stream) == ACL_SUCCESS);
    if (size == kSize) opener = std::thread([&] { std::this_thread::sleep_for(std::chrono::milliseconds(20)), later.open(); });
    CHECK(aclrtMemcpyAsync(a, size, source.data(), size, ACL_MEMCPY_HOST_TO_DEVICE, stream) == ACL_SUCCESS);
    const std::vector<char> expected = source;
    std::fill(host.begin(), host.end(), 0);
    std::fill(source.begin(), source.end(), 0);
    later.open();
    CHECK(aclrtMemcpyAsync(host.data(), size, a, size, ACL_MEMCPY_DEVICE_TO_HOST, stream) == ACL_SUCCESS);
    CHECK(memcmp(host.data(), expected.data(), size) == 0);  // arrived without a synchronise
    if (opener.joinable()) opener.join();
  }
  CHECK(aclrtMemsetD32(a, kSize, 0x01020304, 4) == ACL_SUCCESS && read_back(a, 16)[12] == 4);
  CHECK(aclrtMemsetD32(a + 2, kSize, 1, 4) == ACL_ERROR_RT_ADDR_UNALIGNED);
  CHECK(aclrtFree(a) == ACL_SUCCESS && aclrtFree(b) == ACL_SUCCESS && aclrtFreeHost(pinned) == ACL_SUCCESS);
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

// What kernels may use: checked where the address is given, for the device of the stream.
static void test_use_by_streams() {
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS);
  char* a = allocate(24);
  CHECK(aclrtValueWrite(a + 16, 5, 0, stream) == ACL_SUCCESS && aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(read_back(a + 16, 1)[0] == 5);
  CHECK(aclrtValueWrite(a + 24, 5, 0, stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "24 bytes into the allocation"));
  CHECK(aclrtFree(a) == ACL_SUCCESS);
  CHECK(aclrtValueWrite(a, 5, 0, stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "freed already"));
  alignas(8) char host[8];
  CHECK(aclrtValueWrite(host, 5, 0, stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "memory of the host"));
  CHECK(aclrtSetDevice(1) == ACL_SUCCESS);
  char* other = allocate(8);
  CHECK(aclrtSetDevice(0) == ACL_SUCCESS);
  CHECK(aclrtValueWrite(other, 5, 0, stream) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "aclrtDeviceEnablePeerAccess"));
  CHECK(aclrtDeviceEnablePeerAccess(1, 0) == ACL_SUCCESS);
  CHECK(aclrtValueWrite(other, 5, 0, stream) == ACL_SUCCESS && aclrtSynchronizeStream(stream) == ACL_SUCCESS);
  CHECK(aclrtDeviceDisablePeerAccess(1) == ACL_SUCCESS && aclrtFree(other) == ACL_SUCCESS);
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

static void test_copies_of_two_dimensions() {
  constexpr size_t kRows = 5, kWidth = 7, kHostPitch = 10, kDevicePitch = 16;
  const auto bytes = pattern(kRows * kHostPitch);
  char* a = allocate(kRows * kDevicePitch);
  CHECK(aclrtMemset(a, kRows * kDevicePitch, 0, kRows * kDevicePitch) == ACL_SUCCESS);
  CHECK(aclrtMemcpy2d(a, kDevicePitch, bytes.data(), kHostPitch, kWidth, kRows, ACL_MEMCPY_HOST_TO_DEVICE) == ACL_SUCCESS);
  const auto got = read_back(a, kRows * kDevicePitch);
  bool right = true;
  for (size_t row = 0; row < kRows; ++row) {
    for (size_t i = 0; i < kDevicePitch; ++i) right = right && got[row * kDevicePitch + i] == (i < kWidth ? bytes[row * kHostPitch + i] : 0);
  }
  CHECK(right);
  std::vector<char> back(kRows * kHostPitch, 0);
  CHECK(aclrtMemcpy2dAsync(back.data(), kHostPitch, a, kDevicePitch, kWidth, kRows, ACL_MEMCPY_DEVICE_TO_HOST, nullptr) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(nullptr) == ACL_SUCCESS && back[4 * kHostPitch + 6] == bytes[4 * kHostPitch + 6]);
  CHECK(aclrtMemcpy2d(a, kDevicePitch, bytes.data(), kHostPitch, 11, 1, ACL_MEMCPY_HOST_TO_DEVICE) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclrtMemcpy2d(a, kDevicePitch, bytes.data(), kHostPitch, kWidth, kRows + 1, ACL_MEMCPY_HOST_TO_DEVICE) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtFree(a) == ACL_SUCCESS);
}

static void test_batches() {
  char *a = allocate(64), *b = allocate(64);
  std::vector<char> one = pattern(16, 1), two = pattern(32, 50), out(16);
  void *dsts[] = {a, b, out.data()}, *srcs[] = {one.data(), two.data(), a};
  size_t sizes[] = {16, 32, 16}, indexes[] = {0, 2}, failed = 0;
  aclrtMemcpyBatchAttr attributes[2] = {};
  attributes[0].dstLoc.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  attributes[0].srcLoc.type = ACL_MEM_LOCATION_TYPE_HOST;
  attributes[1].dstLoc.type = ACL_MEM_LOCATION_TYPE_HOST;
  attributes[1].srcLoc.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  CHECK(aclrtMemcpyBatch(dsts, sizes, srcs, sizes, 3, attributes, indexes, 2, &failed) == ACL_SUCCESS);
  CHECK(read_back(a, 16) == one && read_back(b, 32) == two && out == one);
  size_t rooms[] = {16, 31, 16};
  CHECK(aclrtMemcpyBatch(dsts, rooms, srcs, sizes, 3, attributes, indexes, 2, &failed) == ACL_ERROR_INVALID_PARAM && failed == 1);
  CHECK(aclrtMemcpyBatchAsync(dsts, sizes, srcs, sizes, 3, attributes, indexes, 2, &failed, nullptr) == ACL_SUCCESS);
  CHECK(aclrtSynchronizeStream(nullptr) == ACL_SUCCESS);
  CHECK(aclrtFree(a) == ACL_SUCCESS && aclrtFree(b) == ACL_SUCCESS);
}

static void test_free_waits() {
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS);
  char* p = allocate(64);
  Gate gate;
  static std::atomic<bool> ran;
  ran = false;
  CHECK(gate.start(stream) == ACL_SUCCESS);
  CHECK(aclrtMemsetAsync(p, 64, 1, 64, stream) == ACL_SUCCESS);
  CHECK(aclrtLaunchHostFunc(stream, [](void*) { ran = true; }, nullptr) == ACL_SUCCESS);
  std::thread opener([&] { std::this_thread::sleep_for(std::chrono::milliseconds(20)), gate.open(); });
  CHECK(aclrtFree(p) == ACL_SUCCESS && ran);
  opener.join();
  CHECK(aclrtDestroyStream(stream) == ACL_SUCCESS);
}

static void test_host_memory() {
  void *p = nullptr, *device = nullptr;
  aclrtPtrAttributes attributes{};
  CHECK(aclrtMallocHost(&p, 5000) == ACL_SUCCESS);
  memset(p, 1, 5000);
  CHECK(aclrtPointerGetAttributes(p, &attributes) == ACL_SUCCESS && attributes.location.type == ACL_MEM_LOCATION_TYPE_HOST);
  CHECK(aclrtHostGetDevicePointer(p, &device, 0) == ACL_SUCCESS && device == p);
  CHECK(aclrtFree(p) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtFreeHost(p) == ACL_SUCCESS && aclrtFreeHost(p) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "freed already"));
  CHECK(aclrtMallocHost(&p, 0) == ACL_ERROR_INVALID_PARAM);

  std::vector<char> own(8192, 3);
  CHECK(aclrtHostRegister(own.data(), own.size(), ACL_HOST_REGISTER_MAPPED, &device) == ACL_SUCCESS && device == own.data());
  CHECK(aclrtPointerGetAttributes(own.data() + 8191, &attributes) == ACL_SUCCESS && attributes.location.type == ACL_MEM_LOCATION_TYPE_HOST);
  CHECK(aclrtHostRegisterV2(own.data() + 100, 10, ACL_HOST_REG_MAPPED) == ACL_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  Gate gate;
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream) == ACL_SUCCESS && gate.start(stream) == ACL_SUCCESS);
  char* a = allocate(16);
  CHECK(aclrtMemcpyAsync(a, 16, own.data(), 16, ACL_MEMCPY_HOST_TO_DEVICE, stream) == ACL_SUCCESS);
  own[0] = 9;  // registered memory is read when the stream comes to it
  gate.open();
  CHECK(aclrtSynchronizeStream(stream) == ACL_SUCCESS && read_back(a, 1)[0] == 9);
  CHECK(aclrtHostUnregister(own.data()) == ACL_SUCCESS && aclrtHostUnregister(own.data()) == ACL_ERROR_HOST_MEMORY_NOT_REGISTERED);
  CHECK(aclrtFree(a) == ACL_SUCCESS && aclrtDestroyStream(stream) == ACL_SUCCESS);
}

static aclrtDrvMemHandle make_physical(size_t size) {
  aclrtPhysicalMemProp properties{};
  properties.memAttr = ACL_HBM_MEM_HUGE;
  properties.location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  aclrtDrvMemHandle handle = nullptr;
  CHECK(aclrtMallocPhysical(&handle, size, &properties, 0) == ACL_SUCCESS);
  return handle;
}

static void test_virtual_memory() {
  const size_t before = free_memory();
  size_t unit = 0;
  CHECK(aclrtMemGetAllocationGranularity(nullptr, ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM, &unit) == ACL_SUCCESS && unit == 2 * kMiB);
  void* reserved = nullptr;
  CHECK(aclrtReserveMemAddress(&reserved, 64 * unit, 0, nullptr, 1) == ACL_SUCCESS);
  CHECK(free_memory() == before);  // addresses cost nothing
  char* base = static_cast<char*>(reserved);
  CHECK(aclrtMemset(base, unit, 0, unit) == ACL_ERROR_RT_PARAM_INVALID);  // nothing is mapped yet
  aclrtDrvMemHandle one = make_physical(2 * unit), two = make_physical(2 * unit);
  CHECK(before - free_memory() == 4 * unit);
  CHECK(aclrtMapMem(base, 2 * unit, 0, one, 0) == ACL_SUCCESS);
  CHECK(aclrtMapMem(base + unit, unit, 0, two, 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "already mapped"));
  CHECK(aclrtMapMem(base + 64 * unit, unit, 0, two, 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtMapMem(base + 2 * unit, 3 * unit, 0, two, 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtMapMem(base + 2 * unit, 2 * unit, 0, two, 0) == ACL_SUCCESS);
  // Neighbouring mappings are one range.
  const auto bytes = pattern(unit);
  write_to(base + 2 * unit - unit / 2, bytes);
  CHECK(read_back(base + 2 * unit - unit / 2, unit) == bytes);
  CHECK(aclrtMemset(base, 5 * unit, 0, 4 * unit + 1) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtFreePhysical(one) == ACL_SUCCESS);  // the mapping keeps it
  CHECK(aclrtFreePhysical(one) == ACL_ERROR_RT_INVALID_HANDLE);
  CHECK(read_back(base + 2 * unit - unit / 2, unit) == bytes && before - free_memory() == 4 * unit);
  CHECK(aclrtFree(base) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "aclrtUnmapMem ends it"));
  CHECK(aclrtReleaseMemAddress(base) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(contains(message(), "still mapped"));
  CHECK(aclrtUnmapMem(base) == ACL_SUCCESS && aclrtUnmapMem(base) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(before - free_memory() == 2 * unit);
  // The same memory can be seen at two places.
  CHECK(aclrtMapMem(base, 2 * unit, 0, two, 0) == ACL_SUCCESS);
  CHECK(read_back(base, 16) == read_back(base + 2 * unit, 16));
  aclrtDrvMemHandle again = nullptr;
  CHECK(aclrtMemRetainAllocationHandle(base + 5, &again) == ACL_SUCCESS && again == two && aclrtFreePhysical(again) == ACL_SUCCESS);
  aclrtMemAccessDesc access{};
  access.flags = ACL_RT_MEM_ACCESS_FLAGS_READWRITE;
  access.location = {1, ACL_MEM_LOCATION_TYPE_DEVICE};
  uint64_t flags = 9;
  CHECK(aclrtMemGetAccess(base, &access.location, &flags) == ACL_SUCCESS && flags == ACL_RT_MEM_ACCESS_FLAGS_NONE);
  CHECK(aclrtMemSetAccess(base, 2 * unit, &access, 1) == ACL_SUCCESS);
  CHECK(aclrtMemGetAccess(base, &access.location, &flags) == ACL_SUCCESS && flags == ACL_RT_MEM_ACCESS_FLAGS_READWRITE);
  CHECK(aclrtUnmapMem(base) == ACL_SUCCESS && aclrtUnmapMem(base + 2 * unit) == ACL_SUCCESS && aclrtFreePhysical(two) == ACL_SUCCESS);
  CHECK(aclrtReleaseMemAddress(base) == ACL_SUCCESS && aclrtReleaseMemAddress(base) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(free_memory() == before);
  aclrtDrvMemHandle none = nullptr;
  aclrtPhysicalMemProp properties{};
  properties.location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
  CHECK(aclrtMallocPhysical(&none, unit + 1, &properties, 0) == ACL_ERROR_RT_PARAM_INVALID);
  CHECK(aclrtMapMem(base + 1, unit, 0, two, 0) == ACL_ERROR_RT_ADDR_UNALIGNED);
}

static void test_running_out() {
  const size_t before = free_memory();
  void* p = nullptr;
  CHECK(aclrtMalloc(&p, 2 * before, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_ERROR_RT_MEMORY_ALLOCATION);
  const std::string text = message();
  CHECK(contains(text, ("requested " + std::to_string(2 * before)).c_str()) && contains(text, ("free " + std::to_string(before)).c_str()) &&
        contains(text, "largest free block") && contains(text, "SOFTCANN_MEMORY"));
  CHECK(aclrtMalloc(&p, SIZE_MAX, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_ERROR_RT_MEMORY_ALLOCATION);
  CHECK(aclrtMalloc(&p, SIZE_MAX - 100, ACL_MEM_MALLOC_HUGE_ONLY) == ACL_ERROR_RT_MEMORY_ALLOCATION);
  std::vector<char*> blocks;
  while (aclrtMalloc(&p, kMiB, ACL_MEM_MALLOC_NORMAL_ONLY) == ACL_SUCCESS) blocks.push_back(static_cast<char*>(p));
  CHECK(blocks.size() == before / kMiB && free_memory() == before % kMiB);
  // Every second block is free: the memory is there for a large one, too, as it is on a device with pages.
  for (size_t i = 0; i < blocks.size(); i += 2) CHECK(aclrtFree(blocks[i]) == ACL_SUCCESS);
  CHECK(aclrtMalloc(&p, 8 * kMiB, ACL_MEM_MALLOC_NORMAL_ONLY) == ACL_SUCCESS && aclrtFree(p) == ACL_SUCCESS);
  for (size_t i = 1; i < blocks.size(); i += 2) CHECK(aclrtFree(blocks[i]) == ACL_SUCCESS);
  char* all = allocate(before);
  CHECK(aclrtFree(all) == ACL_SUCCESS && free_memory() == before);
}

static size_t resident() {
  FILE* file = std::fopen("/proc/self/statm", "r");
  size_t total = 0, pages = 0;
  CHECK(file != nullptr && std::fscanf(file, "%zu %zu", &total, &pages) == 2);
  std::fclose(file);
  return pages * 4096;
}

// Eight large devices cost what is written to them, and give it back.
static void test_laziness() {
  CHECK(checks_in_child([] {
    setenv("SOFTCANN_MEMORY", "64G", 1);
    setenv("SOFTCANN_DEVICE_COUNT", "8", 1);
    const size_t before = resident();
    std::vector<char*> all;
    for (int d = 0; d < 8; ++d) {
      CHECK(aclrtSetDevice(d) == ACL_SUCCESS);
      all.push_back(allocate(size_t{60} << 30));
    }
    CHECK(resident() - before < 64 * kMiB);
    char* p = all.back() + (size_t{30} << 30);
    CHECK(aclrtMemset(p, 200 * kMiB, 1, 200 * kMiB) == ACL_SUCCESS);
    CHECK(resident() - before > 200 * kMiB);
    CHECK(aclrtFree(all.back()) == ACL_SUCCESS);
    CHECK(resident() - before < 64 * kMiB);
  }));
}

// Random allocations: nobody's bytes are touched by others.
static void test_many() {
  std::mt19937 random(1);
  std::map<char*, std::pair<size_t, char>> live;
  const size_t before = free_memory();
  for (int i = 0; i < 4000; ++i) {
    if (live.size() < 150 || random() % 2) {
      const size_t size = size_t{1} << random() % 21 | random() % 5000;
      char* p = allocate(size, random() % 2 ? ACL_MEM_MALLOC_HUGE_FIRST : ACL_MEM_MALLOC_NORMAL_ONLY);
      const char value = static_cast<char>(random());
      CHECK(aclrtMemset(p, size, value, size) == ACL_SUCCESS);
      CHECK(live.emplace(p, std::make_pair(size, value)).second);
    } else {
      const auto it = std::next(live.begin(), static_cast<long>(random() % live.size()));
      const auto [size, value] = it->second;
      const auto bytes = read_back(it->first, size);
      CHECK(bytes.front() == value && bytes.back() == value && bytes[size / 2] == value);
      CHECK(aclrtFree(it->first) == ACL_SUCCESS);
      live.erase(it);
    }
    if (live.size() > 200) {
      CHECK(aclrtFree(live.begin()->first) == ACL_SUCCESS);
      live.erase(live.begin());
    }
  }
  for (const auto& [p, info] : live) CHECK(read_back(p, 1)[0] == info.second && aclrtFree(p) == ACL_SUCCESS);
  CHECK(free_memory() == before);
}

int main() {
#ifndef __SANITIZE_THREAD__  // which leaves too few addresses for them
  test_laziness();
#endif
  setenv("SOFTCANN_DEVICE_COUNT", "2", 1);
  setenv("SOFTCANN_MEMORY", "512M", 1);
  CHECK(aclInit(nullptr) == ACL_SUCCESS && aclrtSetDevice(0) == ACL_SUCCESS);
  test_allocation();
  test_rules();
  test_copies();
  test_use_by_streams();
  test_copies_of_two_dimensions();
  test_batches();
  test_free_waits();
  test_host_memory();
  test_virtual_memory();
  test_running_out();
  test_many();
  CHECK(aclrtResetDevice(0) == ACL_SUCCESS && aclFinalize() == ACL_SUCCESS);
  return check_summary();
}
