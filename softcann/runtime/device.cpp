#include "softcann/runtime/device.h"

#include <pthread.h>

#include <atomic>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/arena.h"

namespace softcann::runtime {
namespace {

thread_local Context* current_context = nullptr;
std::atomic<bool> used{false}, forked{false};

void note_use() {
  if (used.exchange(true)) return;
  pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
}

}  // namespace

int check_fork(const char* function) {
  if (!forked.load(std::memory_order_relaxed)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_INTERNAL_ERROR,
              "%s: the device was used before this process was forked, and a forked process cannot use it; start processes with spawn, "
              "or fork before the first use of the device", function);
}

int check_device(int device, const char* function) {
  if (device >= 0 && device < device_count()) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_INVALID_DEVICEID, "%s: device %d does not exist; there are %d devices", function, device, device_count());
}

bool peer_access_enabled(int device, int peer) { return Registry::get().peer[device][peer]; }

Registry& Registry::get() {
  static Registry* registry = new Registry;  // leaked: handles outlive static destructors
  return *registry;
}

Context* Registry::create_context(int device, bool primary) {
  auto* context = new Context{device, primary, nullptr};
  {
    std::lock_guard lock(mutex_);
    contexts_.insert(context);
  }
  context->default_stream = create_stream(context, 0, 0);
  return context;
}

int Registry::set_device(int device, const char* function) {
  if (const int status = check_fork(function)) return status;
  if (const int status = check_device(device, function)) return status;
  note_use();
  bool make;
  {
    std::lock_guard lock(mutex_);
    make = primary_[device] == nullptr;
    if (!make) ++users_[device];
  }
  if (make) {
    Context* context = create_context(device, true);
    std::lock_guard lock(mutex_);
    if (primary_[device] == nullptr) primary_[device] = context;
    ++users_[device];
  }
  current_context = primary_[device];
  return ACL_SUCCESS;
}

void Registry::remove_streams(Context* context) {
  std::vector<Stream*> gone;
  {
    std::lock_guard lock(mutex_);
    for (auto it = streams_.begin(); it != streams_.end();) {
      if ((*it)->context == context) {
        gone.push_back(*it);
        it = streams_.erase(it);
      } else {
        ++it;
      }
    }
  }
  for (Stream* stream : gone) delete stream;
}

int Registry::reset_device(int device, bool force, const char* function) {
  if (const int status = check_fork(function)) return status;
  if (const int status = check_device(device, function)) return status;
  std::vector<Context*> gone;
  {
    std::lock_guard lock(mutex_);
    if (primary_[device] == nullptr) return ACL_SUCCESS;
    users_[device] = 0;
    for (auto it = contexts_.begin(); it != contexts_.end();) {
      if ((*it)->device == device) {
        gone.push_back(*it);
        it = contexts_.erase(it);
      } else {
        ++it;
      }
    }
    primary_[device] = nullptr;
  }
  for (Context* context : gone) {
    remove_streams(context);
    if (current_context == context) current_context = nullptr;
    delete context;
  }
  Arena::get().release_device(device);
  return ACL_SUCCESS;
}

int Registry::destroy_context(Context* context, const char* function) {
  {
    std::lock_guard lock(mutex_);
    if (contexts_.count(context) == 0) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: context %p does not exist", function, static_cast<void*>(context));
    if (context->primary) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: this is the device's own context; aclrtResetDevice ends it", function);
    contexts_.erase(context);
  }
  remove_streams(context);
  if (current_context == context) current_context = nullptr;
  delete context;
  return ACL_SUCCESS;
}

Context* Registry::current() {
  if (current_context != nullptr && !live(current_context)) current_context = nullptr;
  return current_context;
}

int Registry::current_or_fail(const char* function, Context** context) {
  if (const int status = check_fork(function)) return status;
  *context = current();
  if (*context != nullptr) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_CONTEXT_NULL, "%s: this thread has no device; call aclrtSetDevice first", function);
}

void Registry::set_current(Context* context) { current_context = context; }

bool Registry::live(Context* context) {
  std::lock_guard lock(mutex_);
  return contexts_.count(context) != 0;
}

bool Registry::live(Stream* stream) {
  std::lock_guard lock(mutex_);
  return streams_.count(stream) != 0;
}

bool Registry::active(int device) {
  std::lock_guard lock(mutex_);
  return primary_[device] != nullptr;
}

Stream* Registry::stream(aclrtStream handle, const char* function, int* status) {
  if (handle == nullptr) {
    Context* context = nullptr;
    *status = current_or_fail(function, &context);
    return context == nullptr ? nullptr : context->default_stream;
  }
  if ((*status = check_fork(function)) != ACL_SUCCESS) return nullptr;
  auto* stream = static_cast<Stream*>(handle);
  if (live(stream)) return stream;
  *status = fail(ACL_ERROR_RT_PARAM_INVALID, "%s: stream %p does not exist: it was destroyed, or its device was reset", function, handle);
  return nullptr;
}

Stream* Registry::create_stream(Context* context, uint32_t priority, uint32_t flags) {
  auto* stream = new Stream(context, priority, flags);
  std::lock_guard lock(mutex_);
  streams_.insert(stream);
  return stream;
}

int Registry::destroy_stream(Stream* stream, bool force, const char* function) {
  {
    std::lock_guard lock(mutex_);
    if (streams_.erase(stream) == 0) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: stream %p does not exist", function, static_cast<void*>(stream));
    if (contexts_.count(stream->context) != 0 && stream->context->default_stream == stream) stream->context->default_stream = nullptr;
  }
  if (force) stream->abort();
  else stream->synchronize(-1, function);
  delete stream;
  return ACL_SUCCESS;
}

std::vector<Stream*> Registry::streams_of(int device) {
  std::lock_guard lock(mutex_);
  std::vector<Stream*> out;
  for (Stream* s : streams_) {
    if (s->device == device) out.push_back(s);
  }
  return out;
}

}  // namespace softcann::runtime

namespace softcann {
using runtime::Registry;

namespace {
std::atomic<int> initialized{0};
}

aclError api::aclInit(const char*) {
  if (const int status = runtime::check_fork("aclInit")) return status;
  if (initialized.exchange(1) != 0) return fail(ACL_ERROR_REPEAT_INITIALIZE, "aclInit: already initialized");
  return ACL_SUCCESS;
}

aclError api::aclFinalize() {
  initialized = 0;
  return ACL_SUCCESS;
}

aclError api::aclrtGetDeviceCount(uint32_t* count) {
  if (count == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDeviceCount: count is null");
  *count = static_cast<uint32_t>(runtime::device_count());
  return ACL_SUCCESS;
}

aclError api::aclrtSetDevice(int32_t deviceId) { return Registry::get().set_device(deviceId, "aclrtSetDevice"); }

aclError api::aclrtGetDevice(int32_t* deviceId) {
  if (deviceId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetDevice: deviceId is null");
  runtime::Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail("aclrtGetDevice", &context)) return status;
  *deviceId = context->device;
  return ACL_SUCCESS;
}

aclError api::aclrtResetDevice(int32_t deviceId) { return Registry::get().reset_device(deviceId, false, "aclrtResetDevice"); }
aclError api::aclrtResetDeviceForce(int32_t deviceId) { return Registry::get().reset_device(deviceId, true, "aclrtResetDeviceForce"); }

aclError api::aclrtCreateContext(aclrtContext* context, int32_t deviceId) {
  if (context == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtCreateContext: context is null");
  runtime::Context* before = Registry::get().current();
  if (const int status = Registry::get().set_device(deviceId, "aclrtCreateContext")) return status;
  auto* made = Registry::get().create_context(deviceId, false);
  Registry::get().set_current(made);
  static_cast<void>(before);
  *context = made;
  return ACL_SUCCESS;
}

aclError api::aclrtDestroyContext(aclrtContext context) {
  return Registry::get().destroy_context(static_cast<runtime::Context*>(context), "aclrtDestroyContext");
}

aclError api::aclrtSetCurrentContext(aclrtContext context) {
  if (const int status = runtime::check_fork("aclrtSetCurrentContext")) return status;
  auto* c = static_cast<runtime::Context*>(context);
  if (!Registry::get().live(c)) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtSetCurrentContext: context %p does not exist", context);
  Registry::get().set_current(c);
  return ACL_SUCCESS;
}

aclError api::aclrtGetCurrentContext(aclrtContext* context) {
  if (context == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetCurrentContext: context is null");
  runtime::Context* c = nullptr;
  if (const int status = Registry::get().current_or_fail("aclrtGetCurrentContext", &c)) return status;
  *context = c;
  return ACL_SUCCESS;
}

aclError api::aclrtDeviceCanAccessPeer(int32_t* canAccessPeer, int32_t deviceId, int32_t peerDeviceId) {
  if (canAccessPeer == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtDeviceCanAccessPeer: canAccessPeer is null");
  if (const int status = runtime::check_device(deviceId, "aclrtDeviceCanAccessPeer")) return status;
  if (const int status = runtime::check_device(peerDeviceId, "aclrtDeviceCanAccessPeer")) return status;
  *canAccessPeer = deviceId != peerDeviceId;
  return ACL_SUCCESS;
}

aclError api::aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t) {
  runtime::Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail("aclrtDeviceEnablePeerAccess", &context)) return status;
  if (const int status = runtime::check_device(peerDeviceId, "aclrtDeviceEnablePeerAccess")) return status;
  Registry::get().peer[context->device][peerDeviceId] = true;
  return ACL_SUCCESS;
}

aclError api::aclrtDeviceDisablePeerAccess(int32_t peerDeviceId) {
  runtime::Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail("aclrtDeviceDisablePeerAccess", &context)) return status;
  if (const int status = runtime::check_device(peerDeviceId, "aclrtDeviceDisablePeerAccess")) return status;
  Registry::get().peer[context->device][peerDeviceId] = false;
  return ACL_SUCCESS;
}

namespace {
int synchronize_device(int64_t timeout, const char* function) {
  runtime::Context* context = nullptr;
  if (const int status = Registry::get().current_or_fail(function, &context)) return status;
  int first = ACL_SUCCESS;
  std::string message;
  for (runtime::Stream* stream : Registry::get().streams_of(context->device)) {
    const int status = stream->synchronize(timeout, function);
    if (status != ACL_SUCCESS && first == ACL_SUCCESS) {
      first = status;
      message = take_error();
    }
  }
  if (first != ACL_SUCCESS) restore_error(message);
  return first;
}
}  // namespace

aclError api::aclrtSynchronizeDevice() { return synchronize_device(-1, "aclrtSynchronizeDevice"); }
aclError api::aclrtSynchronizeDeviceWithTimeout(int32_t timeout) { return synchronize_device(timeout, "aclrtSynchronizeDeviceWithTimeout"); }

}  // namespace softcann
