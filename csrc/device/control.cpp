#include "device/control.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "cann/cann.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "launch/queue.h"
#include "launch/record.h"
#include "memory/allocators.h"

namespace torch_npu {
namespace {

constexpr uint32_t kAbortTimeoutMs = 30'000;
constexpr int kNotTold = -1;

// Streams with limits; looked at by consumers where there are any.
class LimitedStreams {
 public:
  void set(aclrtStream stream, bool limited) {
    std::lock_guard lock(mutex_);
    const auto at = std::find(streams_.begin(), streams_.end(), stream);
    if (limited && at == streams_.end()) streams_.push_back(stream);
    if (!limited && at != streams_.end()) streams_.erase(at);
    any_ = !streams_.empty();
  }
  bool has(aclrtStream stream) {
    if (C10_LIKELY(!any_.load(std::memory_order_acquire))) return false;
    std::lock_guard lock(mutex_);
    return std::find(streams_.begin(), streams_.end(), stream) != streams_.end();
  }

 private:
  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::vector<aclrtStream> streams_;
};

LimitedStreams& limited_streams() {
  static auto* instance = new LimitedStreams;
  return *instance;
}

aclrtStream handle_of(c10::Stream stream) {
  TORCH_CHECK(stream.device_type() == c10::kPrivateUse1, "Expected a stream of an npu device, got one of ", stream.device());
  return stream_handle(stream);
}

// f(type, number) for the limits that are set.
template <class F>
void each_limit(CoreLimits limits, F f) {
  const std::array<std::pair<aclrtDevResLimitType, int64_t>, 2> all = {
      {{ACL_RT_DEV_RES_CUBE_CORE, limits.first}, {ACL_RT_DEV_RES_VECTOR_CORE, limits.second}}};
  for (const auto& [type, number] : all) {
    TORCH_CHECK_VALUE(number == -1 || (number >= 1 && number <= UINT32_MAX), "A number of cores is at least 1, or -1 for no change; got ", number);
  }
  for (const auto& [type, number] : all) {
    if (number != -1) f(type, static_cast<uint32_t>(number));
  }
}

template <class F>
CoreLimits ask_limits(F ask) {
  uint32_t cube = 0, vector = 0;
  ask(ACL_RT_DEV_RES_CUBE_CORE, &cube);
  ask(ACL_RT_DEV_RES_VECTOR_CORE, &vector);
  return {cube, vector};
}

}  // namespace

CoreLimits device_limits(c10::DeviceIndex device) {
  initialize();
  check_device(device);
  return ask_limits([=](aclrtDevResLimitType type, uint32_t* value) { NPU_CHECK(cann::aclrtGetDeviceResLimit(device, type, value)); });
}

void set_device_limits(c10::DeviceIndex device, CoreLimits limits) {
  initialize();
  check_device(device);
  launch::drain(device);
  each_limit(limits, [=](aclrtDevResLimitType type, uint32_t value) { NPU_CHECK(cann::aclrtSetDeviceResLimit(device, type, value)); });
  launch::forget_executors(device);
}

void reset_device_limits(c10::DeviceIndex device) {
  initialize();
  check_device(device);
  launch::drain(device);
  NPU_CHECK(cann::aclrtResetDeviceResLimit(device));
  launch::forget_executors(device);
}

CoreLimits stream_limits(c10::Stream stream) {
  const aclrtStream handle = handle_of(stream);
  const DeviceSwitch scope(stream.device_index());
  return ask_limits([=](aclrtDevResLimitType type, uint32_t* value) { NPU_CHECK(cann::aclrtGetStreamResLimit(handle, type, value)); });
}

void set_stream_limits(c10::Stream stream, CoreLimits limits) {
  const aclrtStream handle = handle_of(stream);
  const DeviceSwitch scope(stream.device_index());
  launch::drain(stream.device_index());
  each_limit(limits, [=](aclrtDevResLimitType type, uint32_t value) {
    NPU_CHECK(cann::aclrtSetStreamResLimit(handle, type, value));
    limited_streams().set(handle, true);
  });
}

void reset_stream_limits(c10::Stream stream) {
  const aclrtStream handle = handle_of(stream);
  const DeviceSwitch scope(stream.device_index());
  launch::drain(stream.device_index());
  NPU_CHECK(cann::aclrtResetStreamResLimit(handle));
  limited_streams().set(handle, false);
}

bool has_limits(aclrtStream stream) noexcept { return limited_streams().has(stream); }

void set_operator_timeout(uint64_t milliseconds) {
  initialize();
  current_device();
  if (cann::aclrtSetOpExecuteTimeOutV2.available()) {
    uint64_t actual = 0;
    NPU_CHECK(cann::aclrtSetOpExecuteTimeOutV2(milliseconds * 1000, &actual));
  } else if (cann::aclrtSetOpExecuteTimeOutWithMs.available()) {
    NPU_CHECK(cann::aclrtSetOpExecuteTimeOutWithMs(static_cast<uint32_t>(milliseconds)));
  } else {
    NPU_CHECK(cann::aclrtSetOpExecuteTimeOut(static_cast<uint32_t>((milliseconds + 999) / 1000)));
  }
}

void set_determinism(int64_t deterministic, int64_t strong_consistency) {
  initialize();
  current_device();
  const c10::DeviceIndex devices = device_count();
  for (c10::DeviceIndex device = 0; device < devices; ++device) launch::drain(device);
  NPU_CHECK(cann::aclrtSetSysParamOpt(ACL_OPT_DETERMINISTIC, deterministic));
  NPU_CHECK(cann::aclrtSetSysParamOpt(ACL_OPT_STRONG_CONSISTENCY, strong_consistency));
  for (c10::DeviceIndex device = 0; device < devices; ++device) launch::forget_executors(device);
}

bool has_infinities() {
  current_device();
  if (cann::aclrtGetDeviceSatMode.available()) {
    aclrtFloatOverflowMode mode = ACL_RT_OVERFLOW_MODE_UNDEF;
    NPU_CHECK(cann::aclrtGetDeviceSatMode(&mode));
    if (mode == ACL_RT_OVERFLOW_MODE_SATURATION) return false;
  }
  int32_t has = 0;
  return !cann::aclGetCannAttribute.available() || cann::aclGetCannAttribute(ACL_CANN_ATTR_INF_NAN, &has) != 0 || has != 0;
}

bool overflow_flag() {
  constexpr size_t kStatusBytes = 64;
  const c10::Stream stream = current_stream();
  const c10::DeviceIndex device = stream.device_index();
  const aclrtStream handle = stream_handle(stream);
  const c10::DataPtr status = device_allocator()->allocate(kStatusBytes);
  launch::raise_pending(device);
  launch::push(device, "aclrtGetOverflowStatus", [address = status.get(), handle] {
    NPU_CHECK(cann::aclrtGetOverflowStatus(address, kStatusBytes, handle));
  });
  synchronize_stream(stream);
  int32_t flag = 0;
  NPU_CHECK(cann::aclrtMemcpy(&flag, sizeof flag, status.get(), sizeof flag, ACL_MEMCPY_DEVICE_TO_HOST));
  return flag != 0;
}

void clear_overflow_flag() {
  const c10::Stream stream = current_stream();
  const aclrtStream handle = stream_handle(stream);
  launch::raise_pending(stream.device_index());
  launch::push(stream.device_index(), "aclrtResetOverflowStatus", [handle] { NPU_CHECK(cann::aclrtResetOverflowStatus(handle)); });
}

void stop_device(c10::DeviceIndex device) {
  initialize();
  check_device(device);
  const DeviceSwitch scope(device);
  launch::stop(device);
  NPU_CHECK(cann::aclrtDeviceTaskAbort(device, kAbortTimeoutMs));
  // What was still in the task queue has been given to the device meanwhile.
  launch::drain_nothrow(device);
  NPU_CHECK(cann::aclrtDeviceTaskAbort(device, kAbortTimeoutMs));
}

void restart_device(c10::DeviceIndex device) {
  initialize();
  check_device(device);
  launch::restart(device);
}

int utilization(c10::DeviceIndex device) {
  initialize();
  check_device(device);
  const DeviceSwitch scope(device);
  launch::drain_nothrow(device);
  aclrtUtilizationInfo info{};
  NPU_CHECK(cann::aclrtGetDeviceUtilizationRate(device, &info));
  if (info.cubeUtilization == kNotTold) return info.vectorUtilization;
  if (info.vectorUtilization == kNotTold) return info.cubeUtilization;
  return (info.cubeUtilization + info.vectorUtilization) / 2;
}

std::vector<std::pair<uintptr_t, size_t>> uncorrectable_memory(c10::DeviceIndex device) {
  initialize();
  check_device(device);
  const DeviceSwitch scope(device);
  std::array<aclrtMemUceInfo, MAX_MEM_UCE_INFO_ARRAY_SIZE> infos{};
  size_t count = 0;
  NPU_CHECK(cann::aclrtGetMemUceInfo(device, infos.data(), infos.size(), &count));
  std::vector<std::pair<uintptr_t, size_t>> found;
  for (size_t i = 0; i < std::min(count, infos.size()); ++i) found.emplace_back(reinterpret_cast<uintptr_t>(infos[i].addr), infos[i].len);
  return found;
}

void init_dump() {
  current_device();
  NPU_CHECK(cann::aclmdlInitDump());
}

void set_dump(const std::string& file) {
  current_device();
  NPU_CHECK(cann::aclmdlSetDump(file.c_str()));
}

void finalize_dump() {
  current_device();
  NPU_CHECK(cann::aclmdlFinalizeDump());
}

}  // namespace torch_npu
