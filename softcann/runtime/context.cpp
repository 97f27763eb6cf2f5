#include "softcann/runtime/context.h"

#include <pthread.h>

#include <algorithm>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/event.h"
#include "softcann/runtime/memory_arena.h"
#include "softcann/runtime/services.h"
#include "softcann/runtime/stream.h"
#include "softcann/runtime/virtual_memory.h"

namespace softcann::runtime {
namespace {

using ContextSlots = Slots<Context, 65536>;

ContextSlots& contexts() {
  static auto* slots = new ContextSlots;  // handles outlive static destructors
  return *slots;
}

std::atomic<bool> used{false}, forked{false};

// Which context a thread works in, and which devices it has set.
struct ThreadState {
  Context* context = nullptr;
  uint32_t generation = 0;
  uint64_t epochs[kMaxDevices] = {};  // Device::epoch at the time of aclrtSetDevice, 0 = not set

  ~ThreadState() {
    if (in_forked_child()) return;
    for (int d = 0; d < kMaxDevices; ++d) {
      if (epochs[d] == 0) continue;
      std::lock_guard<std::mutex> lock(lifecycle_mutex());
      leave(d);
    }
  }

  bool uses(int d) const { return epochs[d] != 0 && epochs[d] == device_state(d).epoch; }

  void enter(int d) {
    if (uses(d)) return;
    epochs[d] = device_state(d).epoch;
    ++device_state(d).users;
  }

  void leave(int d) {
    Device& device = device_state(d);
    if (device.users > 0 && (epochs[d] == 0 || uses(d))) --device.users;
    epochs[d] = 0;
  }
};

thread_local ThreadState thread;

}  // namespace

std::mutex& lifecycle_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

Device& device_state(int device) {
  static auto* devices = new Device[kMaxDevices];
  return devices[device];
}

std::vector<Stream*> streams_of(int device) {
  std::lock_guard<std::mutex> lock(lifecycle_mutex());
  return device_state(device).streams;
}

void note_device_use() {
  if (used.exchange(true)) return;
  pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
}

bool in_forked_child() { return forked.load(std::memory_order_relaxed); }

int check_fork(const char* function) {
  if (__builtin_expect(!in_forked_child(), 1)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_DEV_SETUP_ERROR,
              "%s: the device was initialised before this process was forked, and a forked process cannot use it; "
              "start processes with the spawn method, or fork before the first use of the device", function);
}

int check_device(int device, const char* function) {
  if (device >= 0 && device < device_count()) return ACL_SUCCESS;
  if (device_count() == 0) {
    return fail(ACL_ERROR_RT_NO_DEVICE, "%s: device %d does not exist: there are no devices (SOFTCANN_DEVICE_COUNT, "
                "ASCEND_RT_VISIBLE_DEVICES)", function, device);
  }
  return fail(ACL_ERROR_RT_INVALID_DEVICEID, "%s: device %d does not exist, allowed are 0 to %d (SOFTCANN_DEVICE_COUNT, "
              "ASCEND_RT_VISIBLE_DEVICES)", function, device, device_count() - 1);
}

Context* live_context(const void* handle) { return contexts().get(handle); }

Context* current_context() {
  Context* context = thread.context;
  if (context == nullptr || !context->live.load(std::memory_order_acquire)) return nullptr;
  return context->generation.load(std::memory_order_relaxed) == thread.generation ? context : nullptr;
}

void set_current_context(Context* context) {
  thread.context = context;
  thread.generation = context == nullptr ? 0 : context->generation.load(std::memory_order_relaxed);
}

int require_context(const char* function, Context** context) {
  if (const int code = check_fork(function)) return code;
  *context = current_context();
  if (__builtin_expect(*context != nullptr, 1)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_CONTEXT_NULL, thread.context == nullptr
                  ? "%s: this thread has no device; call aclrtSetDevice or aclrtSetCurrentContext first"
                  : "%s: this thread's context is gone: its device was reset, or the context was destroyed; call aclrtSetDevice "
                    "or aclrtSetCurrentContext", function);
}

Context* create_context(int device, bool primary, const char* function) {
  Context* context = contexts().take();
  Stream* stream = context == nullptr ? nullptr : Stream::create(context, device, 0, 0);
  if (stream == nullptr) {
    if (context != nullptr) contexts().give(context);
    fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "%s: too many contexts or streams exist", function);
    return nullptr;
  }
  note_device_use();
  context->device = device;
  context->primary = primary;
  context->default_stream = stream;
  Device& state = device_state(device);
  state.contexts.push_back(context);
  state.streams.push_back(stream);
  context->live.store(true, std::memory_order_release);
  return context;
}

void retire_context(Context* context, bool force) {
  // From here on nothing new is enqueued: streams are only reached through live handles.
  context->live.store(false, std::memory_order_release);
  std::vector<Stream*> streams;
  {
    std::lock_guard<std::mutex> lock(lifecycle_mutex());
    auto& all = device_state(context->device).streams;
    const auto keep = std::stable_partition(all.begin(), all.end(), [&](Stream* s) { return s->context() != context; });
    streams.assign(keep, all.end());
    all.erase(keep, all.end());
  }
  for (Stream* stream : streams) stream->live.store(false, std::memory_order_release);
  if (force) {
    for (Stream* stream : streams) stream->abort(-1);
  }
  for (Stream* stream : streams) stream->retire();
  retire_events_of(context);
  context->generation.fetch_add(1, std::memory_order_relaxed);
  contexts().give(context);
}

int set_device(int d, const char* function) {
  if (const int code = check_fork(function)) return code;
  if (const int code = check_device(d, function)) return code;
  std::lock_guard<std::mutex> lock(lifecycle_mutex());
  Device& device = device_state(d);
  if (device.resetting) return fail(ACL_ERROR_RT_DEV_SETUP_ERROR, "%s: device %d is being reset by another thread", function, d);
  if (device.primary == nullptr) {
    device.primary = create_context(d, true, function);
    if (device.primary == nullptr) return ACL_ERROR_RT_RESOURCE_ALLOC_FAIL;
  }
  thread.enter(d);
  set_current_context(device.primary);
  return ACL_SUCCESS;
}

int reset_device(int d, bool force, const char* function) {
  if (const int code = check_fork(function)) return code;
  if (const int code = check_device(d, function)) return code;
  if (on_stream_thread()) {
    return fail(ACL_ERROR_RT_STREAM_CONTEXT, "%s: called from a task of a stream, which the reset would wait for", function);
  }
  Device& device = device_state(d);
  std::vector<Context*> ending;
  {
    std::lock_guard<std::mutex> lock(lifecycle_mutex());
    if (device.contexts.empty() || device.resetting) {
      return fail(ACL_ERROR_RT_CONTEXT_NULL, "%s: device %d is not in use (aclrtSetDevice)", function, d);
    }
    thread.leave(d);
    if (device.users > 0 && !force) return ACL_SUCCESS;  // other threads that set the device still use it
    device.resetting = true;
    ending.swap(device.contexts);
    device.primary = nullptr;
  }
  for (Context* context : ending) retire_context(context, force);
  if (MemoryArena* arena = MemoryArena::existing()) arena->release_device(d);
  retire_physical_memory_of(d);
  std::lock_guard<std::mutex> lock(lifecycle_mutex());
  device.peers.store(0, std::memory_order_relaxed);
  device.users = 0;
  ++device.epoch;
  device.resetting = false;
  return ACL_SUCCESS;
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

aclError api::aclrtCreateContext(aclrtContext* context, int32_t deviceId) {
  if (context == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtCreateContext: context is null");
  if (const int code = check_fork("aclrtCreateContext")) return code;
  if (const int code = check_device(deviceId, "aclrtCreateContext")) return code;
  std::lock_guard<std::mutex> lock(lifecycle_mutex());
  Context* created = create_context(deviceId, false, "aclrtCreateContext");
  if (created == nullptr) return ACL_ERROR_RT_RESOURCE_ALLOC_FAIL;
  set_current_context(created);
  *context = created;
  return ACL_SUCCESS;
}

aclError api::aclrtDestroyContext(aclrtContext context) {
  if (context == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtDestroyContext: context is null");
  if (const int code = check_fork("aclrtDestroyContext")) return code;
  if (on_stream_thread()) {
    return fail(ACL_ERROR_RT_STREAM_CONTEXT, "aclrtDestroyContext: called from a task of a stream, which the call would wait for");
  }
  Context* found = live_context(context);
  {
    std::lock_guard<std::mutex> lock(lifecycle_mutex());
    if (found == nullptr || !found->live.load(std::memory_order_acquire)) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtDestroyContext: context %p does not exist: it was destroyed, or its device was reset",
                  context);
    }
    if (found->primary) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtDestroyContext: context %p was made by aclrtSetDevice; aclrtResetDevice ends it", context);
    }
    auto& all = device_state(found->device).contexts;
    const auto at = std::find(all.begin(), all.end(), found);
    if (at == all.end()) return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtDestroyContext: context %p is being destroyed already", context);
    all.erase(at);
  }
  retire_context(found, false);
  return ACL_SUCCESS;
}

aclError api::aclrtSetCurrentContext(aclrtContext context) {
  if (context == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetCurrentContext: context is null");
  if (const int code = check_fork("aclrtSetCurrentContext")) return code;
  Context* found = live_context(context);
  if (found == nullptr) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtSetCurrentContext: context %p does not exist: it was destroyed, or its device was reset",
                context);
  }
  set_current_context(found);
  return ACL_SUCCESS;
}

aclError api::aclrtGetCurrentContext(aclrtContext* context) {
  if (context == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetCurrentContext: context is null");
  Context* found = nullptr;
  if (const int code = require_context("aclrtGetCurrentContext", &found)) return code;
  *context = found;
  return ACL_SUCCESS;
}

aclError api::aclrtCtxGetCurrentDefaultStream(aclrtStream* stream) {
  if (stream == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtCtxGetCurrentDefaultStream: stream is null");
  Context* context = nullptr;
  if (const int code = require_context("aclrtCtxGetCurrentDefaultStream", &context)) return code;
  *stream = context->default_stream;
  return ACL_SUCCESS;
}

aclError api::aclrtGetPrimaryCtxState(int32_t deviceId, uint32_t* flags, int32_t* active) {
  if (const int code = check_device(deviceId, "aclrtGetPrimaryCtxState")) return code;
  if (active == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetPrimaryCtxState: active is null");
  // In a forked child the lock may be held by a thread that does not exist there.
  if (in_forked_child()) {
    *active = 0;
  } else {
    std::lock_guard<std::mutex> lock(lifecycle_mutex());
    *active = device_state(deviceId).primary != nullptr;
  }
  if (flags != nullptr) *flags = 0;
  return ACL_SUCCESS;
}

}  // namespace softcann
