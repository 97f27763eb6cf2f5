// Notifies: flags that one stream raises and another waits for, also in another process; and waits for values in memory.
#include <algorithm>
#include <atomic>
#include <thread>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/ipc.h"
#include "softcann/runtime/memory_arena.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {
namespace {

struct Notify : SlotObject {
  uint32_t id = 0;
  std::atomic<uint32_t> references{0};  // the handle, and each task that uses the flag
  SharedCounter* flag = nullptr;
  uint64_t file_offset = 0;
  char* control = nullptr;  // of an imported notify
  std::mutex mutex;
  bool exported = false;
  ShareKey key;
};

using NotifySlots = Slots<Notify, 65536>;

NotifySlots& notifies() {
  static auto* slots = new NotifySlots;
  return *slots;
}

Notify* make_notify(const char* function, SharedCounter* flag, uint64_t file_offset, char* control) {
  Notify* notify = notifies().take();
  if (notify == nullptr) {
    fail(ACL_ERROR_RT_NO_NOTIFY_RESOURCE, "%s: too many notifies exist", function);
    return nullptr;
  }
  static std::atomic<uint32_t> next_id{0};
  notify->id = next_id.fetch_add(1, std::memory_order_relaxed);
  notify->references.store(1, std::memory_order_relaxed);
  notify->flag = flag;
  notify->file_offset = file_offset;
  notify->control = control;
  notify->exported = false;
  notify->live.store(true, std::memory_order_release);
  return notify;
}

// The flag goes to another notify, or is unmapped, with the last reference.
void release_notify(Notify* notify) {
  if (notify->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (notify->control != nullptr) {
    close_control(notify->control);
  } else {
    give_counter(notify->file_offset);
  }
  notifies().give(notify);
}

// Enqueues `int f(Notify&)`, which may run when the handle is gone.
template <class F>
int enqueue_use(Stream& stream, const char* name, Notify& notify, F f) {
  struct Use {
    Notify* notify;
    F f;
  };
  notify.references.fetch_add(1, std::memory_order_relaxed);
  return stream.enqueue({[](void* p) {
                           auto* use = static_cast<Use*>(p);
                           return use->f(*use->notify);
                         },
                         [](void* p) {
                           auto* use = static_cast<Use*>(p);
                           release_notify(use->notify);
                           delete use;
                         },
                         new Use{&notify, f}, name});
}

// Waiting for memory that another stream, another process or the host changes: often at first, then seldom.
template <class F>
void poll(F ready) {
  for (unsigned turn = 0; !ready() && !task_aborted(); ++turn) {
    if (turn < 64) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(1000u, turn)));
    }
  }
}

}  // namespace
}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

template <class F>
aclError with_notify(const char* function, aclrtNotify handle, F f) {
  if (const int code = check_fork(function)) return code;
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: notify is null", function);
  if (Notify* notify = notifies().get(handle)) return f(*notify);
  return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: notify %p does not exist: it was destroyed, or never was a notify", function, handle);
}

// The place that a value wait or write works on.
aclError find_word(const char* function, void* address, aclrtStream handle, Stream** stream, std::atomic<uint64_t>** word) {
  int code = ACL_SUCCESS;
  *stream = find_stream_of_context(handle, function, &code);
  if (*stream == nullptr) return code;
  if (address == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: devAddr is null", function);
  if (reinterpret_cast<uintptr_t>(address) % sizeof(uint64_t) != 0) {
    return fail(ACL_ERROR_RT_ADDR_UNALIGNED, "%s: devAddr is %p, not a multiple of 8", function, address);
  }
  *word = static_cast<std::atomic<uint64_t>*>(resolve(address, sizeof(uint64_t), (*stream)->device(), function));
  return *word == nullptr ? ACL_ERROR_RT_PARAM_INVALID : ACL_SUCCESS;
}

}  // namespace

aclError api::aclrtCreateNotify(aclrtNotify* notify, uint64_t flag) {
  constexpr const char* kName = "aclrtCreateNotify";
  if (notify == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: notify is null", kName);
  if (flag > ACL_NOTIFY_DEVICE_USE_ONLY) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: flag is %llu, allowed are 0 and 1", kName, static_cast<unsigned long long>(flag));
  }
  Context* context = nullptr;
  if (const int code = require_context(kName, &context)) return code;
  SharedCounter* counter = nullptr;
  uint64_t file_offset = 0;
  if (const int code = take_counter(kName, &counter, &file_offset)) return code;
  *notify = make_notify(kName, counter, file_offset, nullptr);
  return *notify == nullptr ? ACL_ERROR_RT_NO_NOTIFY_RESOURCE : ACL_SUCCESS;
}

aclError api::aclrtDestroyNotify(aclrtNotify notify) {
  return with_notify("aclrtDestroyNotify", notify, [](Notify& n) {
    bool live = true;
    if (!n.live.compare_exchange_strong(live, false)) return ACL_SUCCESS;
    if (n.exported) withdraw_record(n.key);
    release_notify(&n);
    return ACL_SUCCESS;
  });
}

aclError api::aclrtRecordNotify(aclrtNotify notify, aclrtStream stream) {
  return with_notify("aclrtRecordNotify", notify, [=](Notify& n) {
    int code = ACL_SUCCESS;
    Stream* s = find_stream_of_context(stream, "aclrtRecordNotify", &code);
    return s == nullptr ? code : enqueue_use(*s, "aclrtRecordNotify", n, [](Notify& used) { return used.flag->raise(), ACL_SUCCESS; });
  });
}

// The timeout is in milliseconds, 0 = for ever.
aclError api::aclrtWaitAndResetNotify(aclrtNotify notify, aclrtStream stream, uint32_t timeout) {
  return with_notify("aclrtWaitAndResetNotify", notify, [=](Notify& n) {
    int code = ACL_SUCCESS;
    Stream* s = find_stream_of_context(stream, "aclrtWaitAndResetNotify", &code);
    if (s == nullptr) return code;
    return enqueue_use(*s, "aclrtWaitAndResetNotify", n, [timeout](Notify& used) -> int {
      const Deadline deadline = timeout == 0 ? kNever : deadline_after(timeout);
      if (used.flag->wait_and_lower(deadline, task_aborted)) return ACL_SUCCESS;
      return fail(ACL_ERROR_RT_WAIT_TIMEOUT, "aclrtWaitAndResetNotify: notify %u was not recorded within %u ms", used.id, timeout);
    });
  });
}

aclError api::aclrtGetNotifyId(aclrtNotify notify, uint32_t* notifyId) {
  if (notifyId == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "aclrtGetNotifyId: notifyId is null");
  return with_notify("aclrtGetNotifyId", notify, [=](Notify& n) {
    *notifyId = n.id;
    return ACL_SUCCESS;
  });
}

aclError api::aclrtNotifyBatchReset(aclrtNotify* notifyList, size_t num) {
  if (notifyList == nullptr || num == 0) return fail(ACL_ERROR_INVALID_PARAM, "aclrtNotifyBatchReset: notifies is null or num 0");
  for (size_t i = 0; i < num; ++i) {
    if (const int code = with_notify("aclrtNotifyBatchReset", notifyList[i], [](Notify& n) { return n.flag->lower(), ACL_SUCCESS; })) return code;
  }
  return ACL_SUCCESS;
}

aclError api::aclrtNotifyGetExportKey(aclrtNotify notify, char* key, size_t len, uint64_t flags) {
  constexpr const char* kName = "aclrtNotifyGetExportKey";
  if (key == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: key is null", kName);
  return with_notify(kName, notify, [=](Notify& n) -> int {
    std::lock_guard<std::mutex> lock(n.mutex);
    if (n.control != nullptr) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: notify %u was imported; only its owner can export it", kName, n.id);
    if (!n.exported) {
      const bool any_process = (flags & ACL_RT_NOTIFY_EXPORT_FLAG_DISABLE_PID_VALIDATION) != 0;
      if (const int code = export_record(kName, Shared::notify, n.file_offset, 0, -1, any_process, &n.key)) return code;
      n.exported = true;
    }
    return write_key(kName, n.key, key, len);
  });
}

aclError api::aclrtNotifySetImportPid(aclrtNotify notify, int32_t* pid, size_t num) {
  constexpr const char* kName = "aclrtNotifySetImportPid";
  return with_notify(kName, notify, [=](Notify& n) -> int {
    std::lock_guard<std::mutex> lock(n.mutex);
    if (!n.exported) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: notify %u was not exported (aclrtNotifyGetExportKey)", kName, n.id);
    return allow_pids(kName, n.key, pid, num);
  });
}

aclError api::aclrtNotifyImportByKey(aclrtNotify* notify, const char* key, uint64_t flags) {
  constexpr const char* kName = "aclrtNotifyImportByKey";
  if (notify == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: notify is null", kName);
  Context* context = nullptr;
  if (const int code = require_context(kName, &context)) return code;
  ShareKey parsed;
  if (!ShareKey::parse(key, &parsed)) return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: the key is null or not one of softcann", kName);
  SharedCounter* counter = nullptr;
  char* control = nullptr;
  if (const int code = open_counter(kName, parsed, Shared::notify, &counter, &control)) return code;
  *notify = make_notify(kName, counter, 0, control);
  if (*notify != nullptr) return ACL_SUCCESS;
  close_control(control);
  return ACL_ERROR_RT_NO_NOTIFY_RESOURCE;
}

aclError api::aclrtValueWrite(void* devAddr, uint64_t value, uint32_t flag, aclrtStream stream) {
  if (flag != 0) return fail(ACL_ERROR_INVALID_PARAM, "aclrtValueWrite: flag is %u, allowed is 0", flag);
  Stream* s = nullptr;
  std::atomic<uint64_t>* word = nullptr;
  if (const int code = find_word("aclrtValueWrite", devAddr, stream, &s, &word)) return code;
  return enqueue_call(*s, "aclrtValueWrite", [=] { return word->store(value, std::memory_order_release), 0; });
}

aclError api::aclrtValueWait(void* devAddr, uint64_t value, uint32_t flag, aclrtStream stream) {
  if (flag > ACL_STREAM_WAIT_VALUE_NOR) {
    return fail(ACL_ERROR_INVALID_PARAM, "aclrtValueWait: flag is %u, allowed are 0 to 3 (ACL_STREAM_WAIT_VALUE_*)", flag);
  }
  Stream* s = nullptr;
  std::atomic<uint64_t>* word = nullptr;
  if (const int code = find_word("aclrtValueWait", devAddr, stream, &s, &word)) return code;
  return enqueue_call(*s, "aclrtValueWait", [=] {
    poll([=] {
      const uint64_t now = word->load(std::memory_order_acquire);
      switch (flag) {
        case ACL_STREAM_WAIT_VALUE_GEQ: return static_cast<int64_t>(now - value) >= 0;
        case ACL_STREAM_WAIT_VALUE_EQ: return now == value;
        case ACL_STREAM_WAIT_VALUE_AND: return (now & value) != 0;
        default: return ~(now | value) != 0;
      }
    });
    return 0;
  });
}

}  // namespace softcann
