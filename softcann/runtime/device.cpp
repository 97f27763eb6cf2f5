// Initialisation, devices, peers.
#include <sys/stat.h>

#include <atomic>
#include <vector>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {

bool peer_access_enabled(int device, int peer) {
  return device == peer || (device_state(device).peers.load(std::memory_order_relaxed) >> peer & 1) != 0;
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

std::atomic<uint64_t> initialised{0};

// Device::peers of the current device with the bit of `peer`.
template <class F>
aclError change_peer(const char* function, int peer, F change) {
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (const int code = check_device(peer, function)) return code;
  if (peer == context->device) {
    return fail(ACL_ERROR_RT_INVALID_DEVICEID, "%s: device %d is the current device; peers are other devices", function, peer);
  }
  change(device_state(context->device).peers, uint64_t{1} << peer);
  return ACL_SUCCESS;
}

aclError check_pair(const char* function, int32_t device, int32_t peer, const void* answer) {
  if (answer == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: the pointer for the answer is null", function);
  if (const int code = check_device(device, function)) return code;
  return check_device(peer, function);
}

aclError synchronize_device(const char* function, int64_t timeout_ms) {
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  const Deadline deadline = deadline_after(timeout_ms);
  int first = ACL_SUCCESS;
  std::string message;
  for (Stream* stream : streams_of(context->device)) {
    const int code = stream->synchronize(deadline, timeout_ms, function);
    if (code == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT) return code;
    if (code != ACL_SUCCESS && first == ACL_SUCCESS) {
      first = code;
      message = take_error();
    }
  }
  if (first != ACL_SUCCESS) {
    restore_error(std::move(message));
    set_recent_code(first);
  }
  return first;
}

struct AbortCallback {
  std::string name;
  aclrtDeviceTaskAbortCallback call;
  void* args;
};
std::mutex abort_callbacks_mutex;
std::vector<AbortCallback>& abort_callbacks() {
  static auto* callbacks = new std::vector<AbortCallback>;
  return *callbacks;
}

aclError call_abort_callbacks(int device, aclrtDeviceTaskAbortStage stage, uint32_t timeout) {
  std::vector<AbortCallback> calls;
  {
    std::lock_guard<std::mutex> lock(abort_callbacks_mutex);
    calls = abort_callbacks();
  }
  for (const AbortCallback& callback : calls) {
    if (const int32_t code = callback.call(device, stage, timeout, callback.args)) {
      return fail(ACL_ERROR_RT_DEVICE_TASK_ABORT, "aclrtDeviceTaskAbort: the callback \"%s\" answered %d", callback.name.c_str(), code);
    }
  }
  return ACL_SUCCESS;
}

}  // namespace

aclError api::aclInit(const char* configPath) {
  if (const int code = check_fork("aclInit")) return code;
  struct stat info;
  if (configPath != nullptr && *configPath != '\0' && stat(configPath, &info) != 0) {
    return fail(ACL_ERROR_INVALID_FILE, "aclInit: configPath \"%s\" cannot be read", configPath);
  }
  if (initialised.fetch_add(1) != 0) return fail(ACL_ERROR_REPEAT_INITIALIZE, "aclInit: already initialised");
  return ACL_SUCCESS;
}

aclError api::aclFinalize() {
  if (const int code = check_fork("aclFinalize")) return code;
  if (initialised.exchange(0) == 0) return fail(ACL_ERROR_REPEAT_FINALIZE, "aclFinalize: not initialised, or finalized already");
  return ACL_SUCCESS;
}

aclError api::aclFinalizeReference(uint64_t* refCount) {
  if (const int code = check_fork("aclFinalizeReference")) return code;
  uint64_t count = initialised.load();
  do {
    if (count == 0) return fail(ACL_ERROR_REPEAT_FINALIZE, "aclFinalizeReference: not initialised, or finalized already");
  } while (!initialised.compare_exchange_weak(count, count - 1));
  if (refCount != nullptr) *refCount = count - 1;
  return ACL_SUCCESS;
}

aclError api::aclrtGetDeviceCount(uint32_t* count) {
  if (count == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDeviceCount: count is null");
  *count = static_cast<uint32_t>(device_count());
  return ACL_SUCCESS;
}

aclError api::aclrtSetDevice(int32_t deviceId) { return set_device(deviceId, "aclrtSetDevice"); }
aclError api::aclrtResetDevice(int32_t deviceId) { return reset_device(deviceId, false, "aclrtResetDevice"); }
aclError api::aclrtResetDeviceForce(int32_t deviceId) { return reset_device(deviceId, true, "aclrtResetDeviceForce"); }

aclError api::aclrtGetDevice(int32_t* deviceId) {
  if (deviceId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDevice: deviceId is null");
  Context* context = nullptr;
  if (const int code = require_context("aclrtGetDevice", &context)) return code;
  *deviceId = context->device;
  return ACL_SUCCESS;
}

// Each device has one task scheduler.
aclError api::aclrtSetTsDevice(aclrtTsId tsId) {
  Context* context = nullptr;
  if (const int code = require_context("aclrtSetTsDevice", &context)) return code;
  if (tsId == ACL_TS_ID_AICORE || tsId == ACL_TS_ID_AIVECTOR) return ACL_SUCCESS;
  return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetTsDevice: tsId is %d, allowed are 0 and 1", static_cast<int>(tsId));
}

aclError api::aclrtSynchronizeDevice() { return synchronize_device("aclrtSynchronizeDevice", -1); }
aclError api::aclrtSynchronizeDeviceWithTimeout(int32_t timeout) {
  return synchronize_device("aclrtSynchronizeDeviceWithTimeout", timeout);
}

aclError api::aclrtSetDeviceTaskAbortCallback(const char* regName, aclrtDeviceTaskAbortCallback callback, void* args) {
  if (regName == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetDeviceTaskAbortCallback: regName is null");
  std::lock_guard<std::mutex> lock(abort_callbacks_mutex);
  auto& all = abort_callbacks();
  std::erase_if(all, [&](const AbortCallback& c) { return c.name == regName; });
  if (callback != nullptr) all.push_back({regName, callback, args});  // a null callback takes the name off the list
  return ACL_SUCCESS;
}

// Every stream of the device drops its tasks; `timeout` in milliseconds, 0 = for ever.
aclError api::aclrtDeviceTaskAbort(int32_t deviceId, uint32_t timeout) {
  if (const int code = check_fork("aclrtDeviceTaskAbort")) return code;
  if (const int code = check_device(deviceId, "aclrtDeviceTaskAbort")) return code;
  if (const int code = call_abort_callbacks(deviceId, ACL_RT_DEVICE_TASK_ABORT_PRE, timeout)) return code;
  const std::vector<Stream*> streams = streams_of(deviceId);
  for (Stream* stream : streams) stream->abort(0);  // all at once: they may wait for each other
  const Deadline deadline = timeout == 0 ? kNever : deadline_after(timeout);
  for (Stream* stream : streams) {
    if (!Stream::wait(stream->mark(), deadline)) {
      return fail(ACL_ERROR_RT_WAIT_TIMEOUT, "aclrtDeviceTaskAbort: the running task of stream %d on device %d did not end within %u ms",
                  stream->id(), deviceId, timeout);
    }
    stream->abort(-1);
  }
  return call_abort_callbacks(deviceId, ACL_RT_DEVICE_TASK_ABORT_POST, timeout);
}

aclError api::aclrtDeviceCanAccessPeer(int32_t* canAccessPeer, int32_t deviceId, int32_t peerDeviceId) {
  if (const int code = check_pair("aclrtDeviceCanAccessPeer", deviceId, peerDeviceId, canAccessPeer)) return code;
  *canAccessPeer = deviceId != peerDeviceId;
  return ACL_SUCCESS;
}

aclError api::aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t flags) {
  if (flags != 0) return fail(ACL_ERROR_INVALID_PARAM, "aclrtDeviceEnablePeerAccess: flags is %u, allowed is 0", flags);
  return change_peer("aclrtDeviceEnablePeerAccess", peerDeviceId, [](auto& peers, uint64_t bit) { peers.fetch_or(bit); });
}

aclError api::aclrtDeviceDisablePeerAccess(int32_t peerDeviceId) {
  return change_peer("aclrtDeviceDisablePeerAccess", peerDeviceId, [](auto& peers, uint64_t bit) { peers.fetch_and(~bit); });
}

aclError api::aclrtDevicePeerAccessStatus(int32_t deviceId, int32_t peerDeviceId, int32_t* status) {
  if (const int code = check_pair("aclrtDevicePeerAccessStatus", deviceId, peerDeviceId, status)) return code;
  *status = deviceId != peerDeviceId && peer_access_enabled(deviceId, peerDeviceId);
  return ACL_SUCCESS;
}

}  // namespace softcann
