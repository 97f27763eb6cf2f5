// CANN's functions for streams.
#include <algorithm>
#include <new>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/stream.h"

namespace softcann {
using namespace runtime;

namespace {

constexpr uint32_t kPriorities = 8;  // 0 is the most urgent, as on the device; all streams get the same share here

aclError create(const char* function, aclrtStream* stream, uint32_t priority, uint32_t flags) {
  if (stream == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: stream is null", function);
  if (priority >= kPriorities) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: priority is %u, allowed are 0 to %u", function, priority, kPriorities - 1);
  }
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  std::lock_guard<std::mutex> lock(lifecycle_mutex());
  Stream* created = Stream::create(context, context->device, priority, flags);
  if (created == nullptr) return fail(ACL_ERROR_RT_NO_STREAM_RESOURCE, "%s: too many streams exist", function);
  device_state(context->device).streams.push_back(created);
  *stream = created;
  return ACL_SUCCESS;
}

aclError destroy(const char* function, aclrtStream handle, bool force) {
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: stream is null", function);
  if (const int code = check_fork(function)) return code;
  if (on_stream_thread()) return fail(ACL_ERROR_RT_STREAM_CONTEXT, "%s: called from a task of a stream", function);
  Stream* stream = Stream::find(handle);
  {
    std::lock_guard<std::mutex> lock(lifecycle_mutex());
    if (stream == nullptr || !stream->live.load(std::memory_order_acquire)) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: stream %p does not exist: it was destroyed, its device was reset, or it never was a stream",
                  function, handle);
    }
    if (stream->context()->default_stream == stream) {
      return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: stream %p is the default stream of its context, which ends with the context", function,
                  handle);
    }
    stream->live.store(false, std::memory_order_release);
    auto& all = device_state(stream->device()).streams;
    all.erase(std::remove(all.begin(), all.end(), stream), all.end());
  }
  if (force) stream->abort(-1);
  stream->retire();
  return ACL_SUCCESS;
}

// f(stream) for the stream a call names.
template <class F>
aclError with_stream(const char* function, aclrtStream handle, F f) {
  int code = ACL_SUCCESS;
  Stream* stream = find_stream(handle, function, &code);
  return stream == nullptr ? code : f(*stream);
}

// *answer = f(stream)
template <class T, class F>
aclError answer(const char* function, aclrtStream handle, T* answer, F f) {
  if (answer == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: the pointer for the answer is null", function);
  return with_stream(function, handle, [&](Stream& stream) {
    *answer = static_cast<T>(f(stream));
    return ACL_SUCCESS;
  });
}

aclError set_failure_mode(const char* function, Stream& stream, uint64_t mode) {
  if (mode != ACL_CONTINUE_ON_FAILURE && mode != ACL_STOP_ON_FAILURE) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: mode is %llu, allowed are ACL_CONTINUE_ON_FAILURE (0) and ACL_STOP_ON_FAILURE (1)", function,
                static_cast<unsigned long long>(mode));
  }
  stream.failure_mode = mode;
  return ACL_SUCCESS;
}

aclError set_switch(const char* function, std::atomic<uint32_t>& target, uint32_t flag) {
  if (flag > 1) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the flag is %u, allowed are 0 (off) and 1 (on)", function, flag);
  target = flag;
  return ACL_SUCCESS;
}

}  // namespace

aclError api::aclrtCreateStream(aclrtStream* stream) { return create("aclrtCreateStream", stream, 0, 0); }

aclError api::aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t priority, uint32_t flag) {
  return create("aclrtCreateStreamWithConfig", stream, priority, flag);
}

aclrtStreamConfigHandle* api::aclrtCreateStreamConfigHandle() { return new (std::nothrow) aclrtStreamConfigHandle{}; }

aclError api::aclrtDestroyStreamConfigHandle(aclrtStreamConfigHandle* handle) {
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtDestroyStreamConfigHandle: handle is null");
  delete handle;
  return ACL_SUCCESS;
}

aclError api::aclrtSetStreamConfigOpt(aclrtStreamConfigHandle* handle, aclrtStreamConfigAttr attr, const void* attrValue, size_t valueSize) {
  if (handle == nullptr || attrValue == nullptr) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetStreamConfigOpt: %s is null", handle == nullptr ? "handle" : "attrValue");
  }
  struct Field {
    void* place;
    size_t size;
  };
  const Field fields[] = {{&handle->workptr, sizeof(handle->workptr)},
                          {&handle->workSize, sizeof(handle->workSize)},
                          {&handle->flag, sizeof(handle->flag)},
                          {&handle->priority, sizeof(handle->priority)}};
  if (attr < 0 || static_cast<size_t>(attr) >= std::size(fields)) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetStreamConfigOpt: attr is %d, allowed are 0 to 3", static_cast<int>(attr));
  }
  if (valueSize != fields[attr].size) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtSetStreamConfigOpt: valueSize is %zu, attribute %d has %zu bytes", valueSize,
                static_cast<int>(attr), fields[attr].size);
  }
  std::copy_n(static_cast<const char*>(attrValue), valueSize, static_cast<char*>(fields[attr].place));
  return ACL_SUCCESS;
}

aclError api::aclrtCreateStreamV2(aclrtStream* stream, const aclrtStreamConfigHandle* handle) {
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtCreateStreamV2: handle is null");
  return create("aclrtCreateStreamV2", stream, handle->priority, static_cast<uint32_t>(handle->flag));
}

aclError api::aclrtDestroyStream(aclrtStream stream) { return destroy("aclrtDestroyStream", stream, false); }
aclError api::aclrtDestroyStreamForce(aclrtStream stream) { return destroy("aclrtDestroyStreamForce", stream, true); }

aclError api::aclrtSynchronizeStream(aclrtStream stream) {
  return with_stream("aclrtSynchronizeStream", stream, [](Stream& s) { return s.synchronize(kNever, -1, "aclrtSynchronizeStream"); });
}

aclError api::aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
  return with_stream("aclrtSynchronizeStreamWithTimeout", stream, [=](Stream& s) {
    return s.synchronize(deadline_after(timeout), timeout, "aclrtSynchronizeStreamWithTimeout");
  });
}

aclError api::aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  return answer("aclrtStreamQuery", stream, status,
                [](Stream& s) { return s.idle() ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY; });
}

aclError api::aclrtStreamAbort(aclrtStream stream) {
  return with_stream("aclrtStreamAbort", stream, [](Stream& s) {
    s.abort(-1);
    return ACL_SUCCESS;
  });
}

// Stops like an abort; the stream goes on with what is enqueued afterwards.
aclError api::aclrtStreamStop(aclrtStream stream) {
  return with_stream("aclrtStreamStop", stream, [](Stream& s) {
    s.abort(-1);
    return ACL_SUCCESS;
  });
}

aclError api::aclrtStreamGetId(aclrtStream stream, int32_t* streamId) {
  return answer("aclrtStreamGetId", stream, streamId, [](Stream& s) { return s.id(); });
}

aclError api::aclrtStreamGetPriority(aclrtStream stream, uint32_t* priority) {
  return answer("aclrtStreamGetPriority", stream, priority, [](Stream& s) { return s.priority.load(); });
}

aclError api::aclrtStreamGetFlags(aclrtStream stream, uint32_t* flags) {
  return answer("aclrtStreamGetFlags", stream, flags, [](Stream& s) { return s.flags; });
}

aclError api::aclrtDeviceGetStreamPriorityRange(int32_t* leastPriority, int32_t* greatestPriority) {
  if (leastPriority != nullptr) *leastPriority = kPriorities - 1;
  if (greatestPriority != nullptr) *greatestPriority = 0;
  return ACL_SUCCESS;
}

aclError api::aclrtGetStreamAvailableNum(uint32_t* streamCount) {
  if (streamCount == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetStreamAvailableNum: streamCount is null");
  Context* context = nullptr;
  if (const int code = require_context("aclrtGetStreamAvailableNum", &context)) return code;
  constexpr uint32_t kHardwareStreams = 2048;
  const auto existing = static_cast<uint32_t>(streams_of(context->device).size());
  *streamCount = existing < kHardwareStreams ? kHardwareStreams - existing : 0;
  return ACL_SUCCESS;
}

aclError api::aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode) {
  return with_stream("aclrtSetStreamFailureMode", stream, [=](Stream& s) { return set_failure_mode("aclrtSetStreamFailureMode", s, mode); });
}

aclError api::aclrtSetStreamOverflowSwitch(aclrtStream stream, uint32_t flag) {
  return with_stream("aclrtSetStreamOverflowSwitch", stream,
                     [=](Stream& s) { return set_switch("aclrtSetStreamOverflowSwitch", s.overflow_switch, flag); });
}

aclError api::aclrtGetStreamOverflowSwitch(aclrtStream stream, uint32_t* flag) {
  return answer("aclrtGetStreamOverflowSwitch", stream, flag, [](Stream& s) { return s.overflow_switch.load(); });
}

aclError api::aclrtSetStreamAttribute(aclrtStream stream, aclrtStreamAttr stmAttrType, aclrtStreamAttrValue* value) {
  constexpr const char* kName = "aclrtSetStreamAttribute";
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: value is null", kName);
  return with_stream(kName, stream, [=](Stream& s) -> int {
    switch (stmAttrType) {
      case ACL_STREAM_ATTR_FAILURE_MODE: return set_failure_mode(kName, s, value->failureMode);
      case ACL_STREAM_ATTR_FLOAT_OVERFLOW_CHECK: return set_switch(kName, s.overflow_switch, value->overflowSwitch);
      case ACL_STREAM_ATTR_USER_CUSTOM_TAG: s.custom_tag = value->userCustomTag; return ACL_SUCCESS;
      case ACL_STREAM_ATTR_CACHE_OP_INFO: return set_switch(kName, s.cache_op_info, value->cacheOpInfoSwitch);
      case ACL_STREAM_ATTR_PRIORITY:
        if (value->streamPriority >= kPriorities) {
          return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: priority is %u, allowed are 0 to %u", kName, value->streamPriority, kPriorities - 1);
        }
        s.priority = value->streamPriority;
        return ACL_SUCCESS;
    }
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: attribute %d does not exist, allowed are 1 to 5", kName, static_cast<int>(stmAttrType));
  });
}

aclError api::aclrtGetStreamAttribute(aclrtStream stream, aclrtStreamAttr stmAttrType, aclrtStreamAttrValue* value) {
  constexpr const char* kName = "aclrtGetStreamAttribute";
  if (value == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: value is null", kName);
  return with_stream(kName, stream, [=](Stream& s) -> int {
    switch (stmAttrType) {
      case ACL_STREAM_ATTR_FAILURE_MODE: value->failureMode = s.failure_mode; return ACL_SUCCESS;
      case ACL_STREAM_ATTR_FLOAT_OVERFLOW_CHECK: value->overflowSwitch = s.overflow_switch; return ACL_SUCCESS;
      case ACL_STREAM_ATTR_USER_CUSTOM_TAG: value->userCustomTag = s.custom_tag; return ACL_SUCCESS;
      case ACL_STREAM_ATTR_CACHE_OP_INFO: value->cacheOpInfoSwitch = s.cache_op_info; return ACL_SUCCESS;
      case ACL_STREAM_ATTR_PRIORITY: value->streamPriority = s.priority; return ACL_SUCCESS;
    }
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: attribute %d does not exist, allowed are 1 to 5", kName, static_cast<int>(stmAttrType));
  });
}

// Persistent tasks belong to models, which softcann does not run: there are none to clean.
aclError api::aclrtPersistentTaskClean(aclrtStream stream) {
  return with_stream("aclrtPersistentTaskClean", stream, [](Stream&) { return ACL_SUCCESS; });
}

// Nothing is ever being captured.
aclError api::aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus* status, aclmdlRI* modelRI) {
  if (modelRI != nullptr) *modelRI = nullptr;
  return answer("aclmdlRICaptureGetInfo", stream, status, [](Stream&) { return ACL_MODEL_RI_CAPTURE_STATUS_NONE; });
}

aclError api::aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode* mode) {
  if (mode == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclmdlRICaptureThreadExchangeMode: mode is null");
  thread_local aclmdlRICaptureMode current = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  std::swap(*mode, current);
  return ACL_SUCCESS;
}

}  // namespace softcann
