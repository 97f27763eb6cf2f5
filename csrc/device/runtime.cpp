#include "device/runtime.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "cann/cann.h"
#include "cann/loader.h"
#include "launch/launch.h"
#include "launch/queue.h"
#include "launch/stacks.h"

namespace torch_npu {
namespace {

// aclInit by another user of CANN in this process is fine; its owner finalises.
constexpr int kRepeatedInitialize = 100002;
constexpr int kExitTimeoutMs = 10'000;

enum class Stage : uint8_t { untouched, running, forked, shut_down };

std::atomic<Stage> stage{Stage::untouched};
std::mutex mutex;
bool owns_acl = false;
std::atomic<int> counted{0};
std::array<std::atomic<bool>, kMaxDevices> used{};

thread_local c10::DeviceIndex thread_device = -1;

// A child of a process that used the device has its memory but none of its threads. Only marks it: nothing else is safe.
const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
  if (stage.load() == Stage::untouched) return;
  stage.store(Stage::forked);
  thread_device = -1;
});

// {number of devices, code}
std::pair<int, int> ask_device_count() {
  uint32_t count = 0;
  const int code = cann::aclrtGetDeviceCount(&count);
  return {code == 0 ? static_cast<int>(std::min<uint32_t>(count, kMaxDevices)) : 0, code};
}

std::string no_device_sentence(int code) {
  const auto& cann = cann::installation();
  std::string text = cann.softcann.empty() ? "CANN" : "softcann";
  text += cann.home.empty() ? "" : " at " + cann.home;
  if (code == 0) {
    text += " is installed but no NPU device answers (0 devices)";
  } else {
    const cann::ErrorInfo info = cann::describe(code);
    text += " is installed but no NPU device answers: aclrtGetDeviceCount failed with error " + std::to_string(code) + " (" +
            info.name + ")";
    const std::string message = cann::take_message();
    if (!message.empty()) text += ", " + message;
  }
  return text + (cann.softcann.empty()
                     ? "; check the driver with `npu-smi info`, the permissions of /dev/davinci* and ASCEND_RT_VISIBLE_DEVICES, "
                       "or set TORCH_NPU_BACKEND=softcann to use the software device."
                     : "; check SOFTCANN_DEVICE_COUNT and ASCEND_RT_VISIBLE_DEVICES.");
}

[[noreturn]] void raise_forked() {
  C10_THROW_ERROR(Error,
                  "Cannot re-initialize NPU in forked subprocess. To use NPU with multiprocessing, you must use the 'spawn' "
                  "start method");
}

// Chips with both numbers keep NaN and Inf only if told so; others saturate.
void keep_inf_and_nan() {
  int32_t has_inf_nan = 0;
  if (cann::aclGetCannAttribute.available() && cann::aclrtSetDeviceSatMode.available() &&
      cann::aclGetCannAttribute(ACL_CANN_ATTR_INF_NAN, &has_inf_nan) == 0 && has_inf_nan == 1) {
    cann::aclrtSetDeviceSatMode(ACL_RT_OVERFLOW_MODE_INFNAN);
  }
}

void bind_thread(c10::DeviceIndex device) {
  check_device(device);
  NPU_CHECK(cann::aclrtSetDevice(device));
  thread_device = device;
  if (!used[device].exchange(true)) keep_inf_and_nan();
}

bool chip_has_bfloat16(const std::string& soc) {
  // The first generation of Ascend910 ("Ascend910B" without a number is of it) and the inference chips have none.
  for (const char* prefix : {"Ascend310", "Ascend910A", "Ascend910PremiumA", "Ascend910Pro"}) {
    if (soc.rfind(prefix, 0) == 0) return false;
  }
  return soc != "Ascend910B";
}

int64_t attribute(c10::DeviceIndex device, aclrtDevAttr attr, aclDeviceInfo old, int64_t otherwise = 0) {
  int64_t value = 0;
  if (cann::aclrtGetDeviceInfo.available() && cann::aclrtGetDeviceInfo(device, attr, &value) == 0) return value;
  if (old != ACL_DEVICE_INFO_UNDEFINED && cann::aclGetDeviceCapability.available() &&
      cann::aclGetDeviceCapability(device, old, &value) == 0) {
    return value;
  }
  return otherwise;
}

std::string uuid_of(c10::DeviceIndex device) {
  aclrtUuid uuid{};
  if (!cann::aclrtDeviceGetUuid.available() || cann::aclrtDeviceGetUuid(device, &uuid) != 0) return {};
  std::string text;
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += hex;
  }
  return text;
}

DeviceProperties ask_properties(c10::DeviceIndex device) {
  DeviceProperties p;
  const char* soc = cann::aclrtGetSocName();
  p.soc_name = soc != nullptr ? soc : "Ascend";
  p.name = p.soc_name + (cann::installation().softcann.empty() ? "" : " (softcann)");
  p.supports_bfloat16 = chip_has_bfloat16(p.soc_name);
  p.uuid = uuid_of(device);
  p.cube_core_num = attribute(device, ACL_DEV_ATTR_CUBE_CORE_NUM, ACL_DEVICE_INFO_AI_CORE_NUM);
  p.vector_core_num = attribute(device, ACL_DEV_ATTR_VECTOR_CORE_NUM, ACL_DEVICE_INFO_VECTOR_CORE_NUM);
  p.l2_cache_size = attribute(device, ACL_DEV_ATTR_L2_CACHE_SIZE, ACL_DEVICE_INFO_L2_SIZE);
  p.total_memory = attribute(device, ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE, ACL_DEVICE_INFO_UNDEFINED, -1);
  if (p.total_memory < 0) {
    const DeviceSwitch scope(device);
    size_t free = 0, total = 0;
    NPU_CHECK(cann::aclrtGetMemInfo(ACL_HBM_MEM, &free, &total));
    p.total_memory = static_cast<int64_t>(total);
  }
  return p;
}

}  // namespace

bool is_initialized() noexcept { return stage.load(std::memory_order_relaxed) == Stage::running; }

bool is_in_bad_fork() noexcept { return stage.load() == Stage::forked; }

void initialize() {
  if (C10_LIKELY(is_initialized())) return;
  if (is_in_bad_fork()) raise_forked();
  std::lock_guard lock(mutex);
  if (is_initialized()) return;
  if (stage.load() == Stage::shut_down) cann::raise_unavailable("the NPU cannot be used any more: the process is exiting.");
  if (!cann::installation().problem.empty()) cann::raise_unavailable(cann::installation().problem);
  const auto [count, code] = ask_device_count();
  if (count == 0) cann::raise_unavailable(no_device_sentence(code), code);
  const int result = cann::aclInit(nullptr);
  if (result != 0 && result != kRepeatedInitialize) cann::raise(result, "aclInit");
  owns_acl = result == 0;
  counted = count;
  stage.store(Stage::running);
  // Behind everything that is still registered for exit, and before CANN's own libraries go.
  std::atexit([] { shutdown(); });
}

std::string unavailable_reason() {
  if (is_initialized()) return {};
  if (is_in_bad_fork()) return "the NPU was in use when this process was forked; use the 'spawn' start method.";
  if (!cann::installation().problem.empty()) return cann::installation().problem;
  try {
    const auto [count, code] = ask_device_count();
    return count > 0 ? "" : no_device_sentence(code);
  } catch (const c10::Error& e) {
    return e.what_without_backtrace();
  }
}

c10::DeviceIndex device_count() noexcept {
  if (const int count = counted.load(std::memory_order_relaxed); C10_LIKELY(count > 0)) return static_cast<c10::DeviceIndex>(count);
  try {
    return cann::installation().problem.empty() ? static_cast<c10::DeviceIndex>(ask_device_count().first) : 0;
  } catch (...) {
    return 0;
  }
}

void check_device(c10::DeviceIndex device) {
  const c10::DeviceIndex count = device_count();
  TORCH_CHECK(device >= 0 && device < count, "Invalid device npu:", static_cast<int>(device), ": there ",
              count == 1 ? "is 1 device" : c10::str("are ", static_cast<int>(count), " devices"), ", numbered from 0.");
}

c10::DeviceIndex current_device() {
  if (C10_UNLIKELY(thread_device < 0)) {
    initialize();
    bind_thread(0);
  }
  return thread_device;
}

c10::DeviceIndex peek_device() noexcept { return thread_device < 0 ? 0 : thread_device; }

void set_device(c10::DeviceIndex device) {
  if (C10_LIKELY(thread_device == device && device >= 0)) return;
  initialize();
  bind_thread(device);
}

DeviceSwitch::~DeviceSwitch() {
  if (thread_device == previous_) return;
  // It has been current before: this fails only when the device is lost, and then the next call says so.
  if (cann::aclrtSetDevice(previous_) == 0) thread_device = previous_;
}

bool has_primary_context(c10::DeviceIndex device) noexcept {
  return is_initialized() && device >= 0 && device < kMaxDevices && used[device].load();
}

const DeviceProperties& device_properties(c10::DeviceIndex device) {
  if (is_in_bad_fork()) raise_forked();
  const std::string reason = unavailable_reason();
  if (!reason.empty()) cann::raise_unavailable(reason);
  check_device(device);
  static std::array<std::once_flag, kMaxDevices> once;
  static std::array<DeviceProperties, kMaxDevices> properties;
  std::call_once(once[device], [&] { properties[device] = ask_properties(device); });
  return properties[device];
}

bool can_access_peer(c10::DeviceIndex device, c10::DeviceIndex peer) {
  check_device(device);
  check_device(peer);
  int32_t can = 0;
  NPU_CHECK(cann::aclrtDeviceCanAccessPeer(&can, device, peer));
  return can != 0;
}

void enable_peer_access(c10::DeviceIndex device, c10::DeviceIndex peer) {
  static std::array<std::array<std::atomic<bool>, kMaxDevices>, kMaxDevices> enabled{};
  if (device == peer || enabled[device][peer].load(std::memory_order_acquire)) return;
  TORCH_CHECK(can_access_peer(device, peer), "npu:", static_cast<int>(device), " cannot reach the memory of npu:",
              static_cast<int>(peer), "; copy through the host: tensor.cpu().to(\"npu:", static_cast<int>(device), "\").");
  const DeviceSwitch scope(device);
  // Enabled by somebody else is as good.
  const int code = cann::aclrtDeviceEnablePeerAccess(peer, 0);
  if (code != 0) {
    int32_t status = 0;
    const bool done = cann::aclrtDevicePeerAccessStatus.available() &&
                      cann::aclrtDevicePeerAccessStatus(device, peer, &status) == 0 && status != 0;
    if (!done) cann::raise(code, "aclrtDeviceEnablePeerAccess");
  }
  enabled[device][peer].store(true, std::memory_order_release);
}

void raise_asynchronous(int code, const char* call, c10::DeviceIndex device) {
  std::string message = cann::take_message();
  const std::string culprit = launch::describe_culprit(device, message);
  if (const std::string stack = launch::describe_culprit_stack(device, message); !stack.empty()) message += "\n" + stack;
  cann::raise(code, call, culprit.c_str(), message);
}

void synchronize_device(c10::DeviceIndex device) {
  const DeviceSwitch scope(device);
  device = device < 0 ? current_device() : device;
  launch::drain(device);
  const int code = cann::aclrtSynchronizeDevice();
  if (C10_UNLIKELY(code != 0)) raise_asynchronous(code, "aclrtSynchronizeDevice", device);
}

void shutdown() noexcept {
  Stage running = Stage::running;
  if (!stage.compare_exchange_strong(running, Stage::shut_down)) return;
  launch::shutdown();
  try {
    for (c10::DeviceIndex device = 0; device < counted; ++device) {
      if (!used[device].load() || cann::aclrtSetDevice(device) != 0) continue;
      // A device that hangs must not keep the process from exiting.
      if (cann::aclrtSynchronizeDeviceWithTimeout.available()) cann::aclrtSynchronizeDeviceWithTimeout(kExitTimeoutMs);
      cann::aclrtResetDevice(device);
    }
    if (owns_acl) cann::aclFinalize();
  } catch (...) {
    // Nobody is left to tell.
  }
  thread_device = -1;
}

}  // namespace torch_npu
