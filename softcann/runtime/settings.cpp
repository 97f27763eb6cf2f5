// Settings. Most choose between ways of the hardware that softcann has only one of: they are checked, kept and handed back.
#include "softcann/runtime/settings.h"

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/memory_arena.h"
#include "softcann/runtime/soc.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {
namespace {

constexpr size_t kOptions = ACL_OPT_ENABLE_KERNEL_EARLY_START + 1;

std::array<std::atomic<int64_t>, kOptions> system_options{}, context_options{};
std::atomic<int> saturation{ACL_RT_OVERFLOW_MODE_INFNAN};
std::atomic<uint64_t> execute_timeout_us{547'000'000};  // the device's own
std::atomic<int64_t> wait_timeout_ms{-1};

// Core limits per device, 0 = none; and of the calling thread.
std::atomic<uint32_t> device_limits[kMaxDevices][2];
thread_local uint32_t thread_limits[2];

}  // namespace

int64_t event_wait_timeout_ms() { return wait_timeout_ms.load(std::memory_order_relaxed); }

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

aclError check_option(const char* function, aclSysParamOpt opt) {
  if (opt >= 0 && static_cast<size_t>(opt) < kOptions) return ACL_SUCCESS;
  return fail(ACL_ERROR_INVALID_PARAM, "%s: opt is %d, allowed are 0 to %zu (aclSysParamOpt)", function, static_cast<int>(opt), kOptions - 1);
}

aclError set_option(const char* function, std::array<std::atomic<int64_t>, kOptions>& options, aclSysParamOpt opt, int64_t value) {
  if (const int code = check_option(function, opt)) return code;
  const int64_t most = opt == ACL_OPT_DETERMINISTIC ? 3 : 1;
  if (value < 0 || value > most) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: value is %lld, allowed are 0 to %lld", function, static_cast<long long>(value),
                static_cast<long long>(most));
  }
  options[static_cast<size_t>(opt)] = value;
  return ACL_SUCCESS;
}

aclError get_option(const char* function, const std::array<std::atomic<int64_t>, kOptions>& options, aclSysParamOpt opt, int64_t* value) {
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: value is null", function);
  if (const int code = check_option(function, opt)) return code;
  *value = options[static_cast<size_t>(opt)];
  return ACL_SUCCESS;
}

aclError check_limit(const char* function, aclrtDevResLimitType type) {
  if (type == ACL_RT_DEV_RES_CUBE_CORE || type == ACL_RT_DEV_RES_VECTOR_CORE) return ACL_SUCCESS;
  return fail(ACL_ERROR_INVALID_PARAM, "%s: type is %d, allowed are 0 (cube cores) and 1 (vector cores)", function, static_cast<int>(type));
}

uint32_t core_count(aclrtDevResLimitType type) {
  return static_cast<uint32_t>(type == ACL_RT_DEV_RES_CUBE_CORE ? soc().cube_cores : soc().vector_cores);
}

aclError check_cores(const char* function, aclrtDevResLimitType type, uint32_t value) {
  if (const int code = check_limit(function, type)) return code;
  if (value >= 1 && value <= core_count(type)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: value is %u, allowed are 1 to %u", function, value, core_count(type));
}

uint32_t limit_of_device(int device, aclrtDevResLimitType type) {
  const uint32_t limit = device_limits[device][type];
  return limit != 0 ? limit : core_count(type);
}

template <class F>
aclError with_stream(const char* function, aclrtStream handle, F f) {
  int code = ACL_SUCCESS;
  Stream* stream = find_stream(handle, function, &code);
  return stream == nullptr ? code : f(*stream);
}

// Overflow is not watched for: the numbers are those of the host's floating point unit, with infinities.
aclError zero_status(const char* function, void* address, size_t size, aclrtStream handle) {
  int code = ACL_SUCCESS;
  Stream* stream = find_stream_of_context(handle, function, &code);
  if (stream == nullptr) return code;
  void* alias = resolve(address, size, stream->device(), function);
  if (alias == nullptr) return ACL_ERROR_RT_PARAM_INVALID;
  return enqueue_call(*stream, function, [=] { return memset(alias, 0, size), 0; });
}

aclError no_effect_on(const char* function, aclrtStream handle) {
  return with_stream(function, handle, [](Stream&) { return ACL_SUCCESS; });
}

}  // namespace

aclError api::aclrtSetSysParamOpt(aclSysParamOpt opt, int64_t value) { return set_option("aclrtSetSysParamOpt", system_options, opt, value); }
aclError api::aclrtGetSysParamOpt(aclSysParamOpt opt, int64_t* value) { return get_option("aclrtGetSysParamOpt", system_options, opt, value); }
aclError api::aclrtCtxSetSysParamOpt(aclSysParamOpt opt, int64_t value) {
  Context* context = nullptr;
  if (const int code = require_context("aclrtCtxSetSysParamOpt", &context)) return code;
  return set_option("aclrtCtxSetSysParamOpt", context_options, opt, value);
}
aclError api::aclrtCtxGetSysParamOpt(aclSysParamOpt opt, int64_t* value) {
  Context* context = nullptr;
  if (const int code = require_context("aclrtCtxGetSysParamOpt", &context)) return code;
  return get_option("aclrtCtxGetSysParamOpt", context_options, opt, value);
}

aclError api::aclrtSetDeviceSatMode(aclrtFloatOverflowMode mode) {
  Context* context = nullptr;
  if (const int code = require_context("aclrtSetDeviceSatMode", &context)) return code;
  if (mode != ACL_RT_OVERFLOW_MODE_SATURATION && mode != ACL_RT_OVERFLOW_MODE_INFNAN) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetDeviceSatMode: mode is %d, allowed are 0 and 1", static_cast<int>(mode));
  }
  saturation = mode;
  return ACL_SUCCESS;
}
aclError api::aclrtGetDeviceSatMode(aclrtFloatOverflowMode* mode) {
  if (mode == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDeviceSatMode: mode is null");
  *mode = static_cast<aclrtFloatOverflowMode>(saturation.load());
  return ACL_SUCCESS;
}

// Kernels run to their end: the timeout of operators is kept and handed back.
aclError api::aclrtSetOpExecuteTimeOut(uint32_t timeout) {
  execute_timeout_us = static_cast<uint64_t>(timeout) * 1'000'000;
  return ACL_SUCCESS;
}
aclError api::aclrtSetOpExecuteTimeOutWithMs(uint32_t timeout) {
  execute_timeout_us = static_cast<uint64_t>(timeout) * 1000;
  return ACL_SUCCESS;
}
aclError api::aclrtSetOpExecuteTimeOutV2(uint64_t timeout, uint64_t* actualTimeout) {
  execute_timeout_us = timeout;
  if (actualTimeout != nullptr) *actualTimeout = timeout;
  return ACL_SUCCESS;
}
aclError api::aclrtGetOpExecuteTimeout(uint32_t* const timeoutMs) {
  if (timeoutMs == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetOpExecuteTimeout: timeoutMs is null");
  *timeoutMs = static_cast<uint32_t>(execute_timeout_us.load() / 1000);
  return ACL_SUCCESS;
}
aclError api::aclrtGetOpTimeOutInterval(uint64_t* interval) {
  if (interval == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetOpTimeOutInterval: interval is null");
  *interval = 1;  // microseconds
  return ACL_SUCCESS;
}
// Seconds, 0 = for ever.
aclError api::aclrtSetOpWaitTimeout(uint32_t timeout) {
  wait_timeout_ms = timeout == 0 ? -1 : static_cast<int64_t>(timeout) * 1000;
  return ACL_SUCCESS;
}

aclError api::aclrtSetDeviceResLimit(int32_t deviceId, aclrtDevResLimitType type, uint32_t value) {
  if (const int code = check_device(deviceId, "aclrtSetDeviceResLimit")) return code;
  if (const int code = check_cores("aclrtSetDeviceResLimit", type, value)) return code;
  device_limits[deviceId][type] = value;
  return ACL_SUCCESS;
}
aclError api::aclrtGetDeviceResLimit(int32_t deviceId, aclrtDevResLimitType type, uint32_t* value) {
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDeviceResLimit: value is null");
  if (const int code = check_device(deviceId, "aclrtGetDeviceResLimit")) return code;
  if (const int code = check_limit("aclrtGetDeviceResLimit", type)) return code;
  *value = limit_of_device(deviceId, type);
  return ACL_SUCCESS;
}
aclError api::aclrtResetDeviceResLimit(int32_t deviceId) {
  if (const int code = check_device(deviceId, "aclrtResetDeviceResLimit")) return code;
  for (auto& limit : device_limits[deviceId]) limit = 0;
  return ACL_SUCCESS;
}
aclError api::aclrtSetStreamResLimit(aclrtStream stream, aclrtDevResLimitType type, uint32_t value) {
  if (const int code = check_cores("aclrtSetStreamResLimit", type, value)) return code;
  return with_stream("aclrtSetStreamResLimit", stream, [=](Stream& s) { return s.core_limits[type] = value, ACL_SUCCESS; });
}
aclError api::aclrtGetStreamResLimit(aclrtStream stream, aclrtDevResLimitType type, uint32_t* value) {
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetStreamResLimit: value is null");
  if (const int code = check_limit("aclrtGetStreamResLimit", type)) return code;
  return with_stream("aclrtGetStreamResLimit", stream, [=](Stream& s) {
    const uint32_t limit = s.core_limits[type];
    *value = limit != 0 ? limit : limit_of_device(s.device(), type);
    return ACL_SUCCESS;
  });
}
aclError api::aclrtResetStreamResLimit(aclrtStream stream) {
  return with_stream("aclrtResetStreamResLimit", stream, [](Stream& s) {
    for (auto& limit : s.core_limits) limit = 0;
    return ACL_SUCCESS;
  });
}
aclError api::aclrtUseStreamResInCurrentThread(aclrtStream stream) {
  return with_stream("aclrtUseStreamResInCurrentThread", stream, [](Stream& s) {
    for (size_t i = 0; i < std::size(thread_limits); ++i) thread_limits[i] = s.core_limits[i];
    return ACL_SUCCESS;
  });
}
aclError api::aclrtUnuseStreamResInCurrentThread(aclrtStream stream) {
  return with_stream("aclrtUnuseStreamResInCurrentThread", stream, [](Stream&) {
    for (auto& limit : thread_limits) limit = 0;
    return ACL_SUCCESS;
  });
}
aclError api::aclrtGetResInCurrentThread(aclrtDevResLimitType type, uint32_t* value) {
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetResInCurrentThread: value is null");
  if (const int code = check_limit("aclrtGetResInCurrentThread", type)) return code;
  Context* context = nullptr;
  if (const int code = require_context("aclrtGetResInCurrentThread", &context)) return code;
  *value = thread_limits[type] != 0 ? thread_limits[type] : limit_of_device(context->device, type);
  return ACL_SUCCESS;
}

aclError api::aclrtGetOverflowStatus(void* outputAddr, size_t outputSize, aclrtStream stream) {
  return zero_status("aclrtGetOverflowStatus", outputAddr, outputSize, stream);
}
aclError api::aclrtGetFloatOverflowStatus(void* outputAddr, uint64_t outputSize, aclrtStream stream) {
  return zero_status("aclrtGetFloatOverflowStatus", outputAddr, outputSize, stream);
}
aclError api::aclrtNpuGetFloatOverFlowStatus(void* outputAddr, uint64_t outputSize, uint32_t checkMode, aclrtStream stream) {
  return zero_status("aclrtNpuGetFloatOverFlowStatus", outputAddr, outputSize, stream);
}
aclError api::aclrtResetOverflowStatus(aclrtStream stream) { return no_effect_on("aclrtResetOverflowStatus", stream); }
aclError api::aclrtResetFloatOverflowStatus(aclrtStream stream) { return no_effect_on("aclrtResetFloatOverflowStatus", stream); }
aclError api::aclrtNpuClearFloatOverFlowStatus(uint32_t checkMode, aclrtStream stream) {
  return no_effect_on("aclrtNpuClearFloatOverFlowStatus", stream);
}

// Caches of the device: what is written is seen by everybody.
aclError api::aclrtCmoAsync(void* src, size_t size, aclrtCmoType cmoType, aclrtStream stream) {
  int code = ACL_SUCCESS;
  Stream* s = find_stream_of_context(stream, "aclrtCmoAsync", &code);
  if (s == nullptr) return code;
  if (cmoType < ACL_RT_CMO_TYPE_PREFETCH || cmoType > ACL_RT_CMO_TYPE_FLUSH) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtCmoAsync: cmoType is %d, allowed are 0 to 3", static_cast<int>(cmoType));
  }
  return resolve(src, size, s->device(), "aclrtCmoAsync") == nullptr ? ACL_ERROR_RT_PARAM_INVALID : ACL_SUCCESS;
}
aclError api::aclrtDeviceL2CacheFlush(void* rsv) {
  Context* context = nullptr;
  return require_context("aclrtDeviceL2CacheFlush", &context);
}

// Where CANN logs: standard output if asked for, else a file of its own, which softcann has not. Errors are the default level.
void api::aclAppLog(aclLogLevel logLevel, const char* func, const char* file, uint32_t line, const char* fmt, va_list args) {
  static const bool shown = [] {
    const char* to_stdout = getenv("ASCEND_SLOG_PRINT_TO_STDOUT");
    return to_stdout != nullptr && strcmp(to_stdout, "1") == 0;
  }();
  static const int level = [] {
    const char* text = getenv("ASCEND_GLOBAL_LOG_LEVEL");
    return text == nullptr ? static_cast<int>(ACL_ERROR) : atoi(text);
  }();
  if (!shown || logLevel < level || logLevel < ACL_DEBUG || logLevel > ACL_ERROR || fmt == nullptr) return;
  static constexpr const char* kLevels[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
  char text[1024];
  vsnprintf(text, sizeof(text), fmt, args);
  printf("[%s] APP(%s:%u %s) %s\n", kLevels[logLevel], file == nullptr ? "" : file, line, func == nullptr ? "" : func, text);
}

// A mark in a profile that nobody takes.
aclError api::aclprofMarkEx(const char* msg, size_t msgLen, aclrtStream stream) {
  if (msg == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclprofMarkEx: msg is null");
  return no_effect_on("aclprofMarkEx", stream);
}

}  // namespace softcann
