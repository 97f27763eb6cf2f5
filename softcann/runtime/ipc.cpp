#include "softcann/runtime/ipc.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <vector>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/event.h"
#include "softcann/runtime/memory.h"
#include "softcann/runtime/memory_arena.h"

namespace softcann::runtime {
namespace {

constexpr uint64_t kMagic = 0x736f667463616e31ULL;
constexpr size_t kRecords = 4096, kCounters = 8192;

// The first pages of a memory file.
struct Control {
  std::atomic<uint64_t> magic;
  ExportRecord records[kRecords];
  SharedCounter counters[kCounters];
};
static_assert(sizeof(Control) <= MemoryArena::kControlSize);
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<Shared>::is_always_lock_free);

std::mutex control_mutex;
uint32_t next_counter = 0;
std::vector<uint32_t>& spare_counters() {
  static auto* spare = new std::vector<uint32_t>;
  return *spare;
}
std::atomic<size_t> exported_memory{0};

Control* own_control() {
  auto* control = reinterpret_cast<Control*>(MemoryArena::get().control());
  if (control != nullptr) control->magic.store(kMagic, std::memory_order_relaxed);
  return control;
}

uint32_t random_nonce() {
  static std::random_device device;
  return device() & 0x3ff;  // what fits into a packed handle
}

}  // namespace

// ---- counters ----

void SharedCounter::wake() {
  changes_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&changes_), FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
  }
}

// Until something changes, at most 10 ms, so that an aborted stream is noticed. False at the deadline.
bool SharedCounter::sleep(uint32_t seen, Deadline deadline) {
  if (deadline != kNever && Clock::now() >= deadline) return false;
  const timespec limit{0, 10'000'000};
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&changes_), FUTEX_WAIT, seen, &limit, nullptr, 0);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  return true;
}

void SharedCounter::complete(uint64_t number) {
  uint64_t now = completed_.load(std::memory_order_relaxed);
  while (now < number && !completed_.compare_exchange_weak(now, number, std::memory_order_acq_rel)) {
  }
  wake();
}

bool SharedCounter::wait(uint64_t number, Deadline deadline, bool (*give_up)()) {
  for (;;) {
    const uint32_t seen = changes_.load(std::memory_order_seq_cst);
    if (completed() >= number || give_up()) return true;
    if (!sleep(seen, deadline)) return false;
  }
}

void SharedCounter::raise() {
  completed_.store(1, std::memory_order_release);
  wake();
}

bool SharedCounter::wait_and_lower(Deadline deadline, bool (*give_up)()) {
  for (;;) {
    const uint32_t seen = changes_.load(std::memory_order_seq_cst);
    if (completed_.exchange(0, std::memory_order_acq_rel) != 0 || give_up()) return true;
    if (!sleep(seen, deadline)) return false;
  }
}

int take_counter(const char* function, SharedCounter** counter, uint64_t* file_offset) {
  Control* control = own_control();
  std::lock_guard<std::mutex> lock(control_mutex);
  uint32_t index;
  if (!spare_counters().empty()) {
    index = spare_counters().back();
    spare_counters().pop_back();
  } else if (control != nullptr && next_counter < kCounters) {
    index = next_counter++;
  } else {
    return fail(ACL_ERROR_RT_NO_NOTIFY_RESOURCE, "%s: at most %zu notifies and shared events can exist", function, kCounters);
  }
  *counter = new (&control->counters[index]) SharedCounter{};
  *file_offset = reinterpret_cast<uintptr_t>(*counter) - reinterpret_cast<uintptr_t>(control);
  return ACL_SUCCESS;
}

void give_counter(uint64_t file_offset) {
  std::lock_guard<std::mutex> lock(control_mutex);
  spare_counters().push_back(static_cast<uint32_t>((file_offset - offsetof(Control, counters)) / sizeof(SharedCounter)));
}

// ---- keys and records ----

std::string ShareKey::text() const {
  char buffer[64];
  snprintf(buffer, sizeof(buffer), "sc:%d:%d:%u:%u", pid, fd, index, nonce);
  return buffer;
}

bool ShareKey::parse(const char* text, ShareKey* key) {
  int end = 0;
  return text != nullptr && strnlen(text, 64) < 64 && sscanf(text, "sc:%d:%d:%u:%u%n", &key->pid, &key->fd, &key->index, &key->nonce, &end) == 4 &&
         text[end] == '\0' && key->pid > 0 && key->fd >= 0 && key->index < kRecords;
}

uint64_t ShareKey::packed() const {
  return static_cast<uint64_t>(pid) << 42 | static_cast<uint64_t>(fd) << 22 | static_cast<uint64_t>(index) << 10 | nonce;
}

ShareKey ShareKey::unpack(uint64_t packed) {
  return {static_cast<int>(packed >> 42), static_cast<int>(packed >> 22 & 0xfffff), static_cast<uint32_t>(packed >> 10 & 0xfff),
          static_cast<uint32_t>(packed & 0x3ff)};
}

int write_key(const char* function, const ShareKey& key, char* buffer, size_t length) {
  const std::string text = key.text();
  if (length < text.size() + 1) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: len is %zu, the key takes %zu (CANN asks for 65)", function, length, text.size() + 1);
  }
  memcpy(buffer, text.c_str(), text.size() + 1);
  return ACL_SUCCESS;
}

int export_record(const char* function, Shared what, uint64_t file_offset, size_t size, int device, bool any_process, ShareKey* key) {
  Control* control = own_control();
  std::lock_guard<std::mutex> lock(control_mutex);
  for (uint32_t i = 0; control != nullptr && i < kRecords; ++i) {
    ExportRecord& record = control->records[i];
    if (record.what.load(std::memory_order_relaxed) != Shared::none) continue;
    record.nonce = random_nonce();
    record.file_offset = file_offset;
    record.size = size;
    record.device = device;
    record.any_process = any_process;
    record.pid_count.store(0, std::memory_order_relaxed);
    record.what.store(what, std::memory_order_release);
    if (what == Shared::memory) exported_memory.fetch_add(1, std::memory_order_relaxed);
    *key = {getpid(), MemoryArena::get().fd(), i, record.nonce};
    return ACL_SUCCESS;
  }
  return fail(ACL_ERROR_RT_IPC_ERROR, "%s: at most %zu things can be exported at a time", function, kRecords);
}

ExportRecord* own_record(const char* function, const ShareKey& key) {
  Control* control = own_control();
  if (control != nullptr && key.pid == getpid() && key.index < kRecords) {
    ExportRecord& record = control->records[key.index];
    if (record.nonce == key.nonce && record.what.load(std::memory_order_acquire) != Shared::none) return &record;
  }
  fail(ACL_ERROR_RT_PARAM_INVALID, "%s: \"%s\" was not exported by this process, or what it stands for is gone", function, key.text().c_str());
  return nullptr;
}

void withdraw_record(const ShareKey& key) {
  std::lock_guard<std::mutex> lock(control_mutex);
  ExportRecord& record = own_control()->records[key.index];
  if (record.what.exchange(Shared::none, std::memory_order_acq_rel) == Shared::memory) exported_memory.fetch_sub(1, std::memory_order_relaxed);
}

void withdraw_memory(uint64_t file_offset, size_t size) {
  if (exported_memory.load(std::memory_order_relaxed) == 0) return;
  std::lock_guard<std::mutex> lock(control_mutex);
  for (ExportRecord& record : own_control()->records) {
    if (record.what.load(std::memory_order_relaxed) != Shared::memory || record.file_offset - file_offset >= size) continue;
    record.what.store(Shared::none, std::memory_order_release);
    exported_memory.fetch_sub(1, std::memory_order_relaxed);
  }
}

int allow_pids(const char* function, const ShareKey& key, const int32_t* pids, size_t count) {
  if (pids == nullptr || count == 0) return fail(ACL_ERROR_INVALID_PARAM, "%s: pid is null or their number 0", function);
  ExportRecord* record = own_record(function, key);
  if (record == nullptr) return ACL_ERROR_RT_PARAM_INVALID;
  std::lock_guard<std::mutex> lock(control_mutex);
  uint32_t have = record->pid_count.load(std::memory_order_relaxed);
  if (have + count > std::size(record->pids)) {
    return fail(ACL_ERROR_RT_OVER_LIMIT, "%s: %zu processes are more than the %zu that one key can be given to", function, have + count,
                std::size(record->pids));
  }
  std::copy_n(pids, count, record->pids + have);
  record->pid_count.store(have + static_cast<uint32_t>(count), std::memory_order_release);
  return ACL_SUCCESS;
}

int open_record(const char* function, const ShareKey& key, Shared what, int* fd, ExportRecord* copy, char** control) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", key.pid, key.fd);
  const int opened = open(path, O_RDWR | O_CLOEXEC);
  if (opened < 0) {
    return fail(ACL_ERROR_RT_IPC_ERROR, "%s: the memory of process %d cannot be opened: %s", function, key.pid,
                errno == ENOENT ? "the process that exported it has ended" : strerror(errno));
  }
  struct stat info;
  void* mapped = MAP_FAILED;
  if (fstat(opened, &info) == 0 && info.st_size >= static_cast<off_t>(MemoryArena::kControlSize)) {
    mapped = mmap(nullptr, MemoryArena::kControlSize, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
  }
  auto* remote = static_cast<Control*>(mapped);
  int code = ACL_SUCCESS;
  if (mapped == MAP_FAILED || remote->magic.load(std::memory_order_relaxed) != kMagic) {
    code = fail(ACL_ERROR_RT_IPC_ERROR, "%s: \"%s\" is no key of softcann", function, key.text().c_str());
  } else {
    const ExportRecord& record = remote->records[key.index];
    if (record.what.load(std::memory_order_acquire) != what || record.nonce != key.nonce) {
      code = fail(ACL_ERROR_RT_IPC_ERROR, "%s: what \"%s\" stood for is gone: process %d freed or closed it, or it is of another kind", function,
                  key.text().c_str(), key.pid);
    } else {
      const auto* end = record.pids + std::min<size_t>(record.pid_count.load(std::memory_order_acquire), std::size(record.pids));
      if (!record.any_process && std::find(record.pids, end, static_cast<int32_t>(getpid())) == end) {
        code = fail(ACL_ERROR_RT_NO_PERMISSION, "%s: process %d may not import \"%s\": the exporter must name it with the SetImportPid function "
                    "or disable the check when it exports", function, getpid(), key.text().c_str());
      } else {
        copy->file_offset = record.file_offset;
        copy->size = record.size;
        copy->device = record.device;
      }
    }
  }
  if (code != ACL_SUCCESS || control == nullptr) {
    if (mapped != MAP_FAILED) munmap(mapped, MemoryArena::kControlSize);
  } else {
    *control = static_cast<char*>(mapped);
  }
  if (code != ACL_SUCCESS || fd == nullptr) {
    close(opened);
  } else {
    *fd = opened;
  }
  return code;
}

int open_counter(const char* function, const ShareKey& key, Shared what, SharedCounter** counter, char** control) {
  ExportRecord record{};
  if (const int code = open_record(function, key, what, nullptr, &record, control)) return code;
  *counter = reinterpret_cast<SharedCounter*>(*control + record.file_offset);
  return ACL_SUCCESS;
}

void close_control(char* control) { munmap(control, MemoryArena::kControlSize); }

// ---- events ----

namespace {

struct EventShare {
  ShareKey key;               // of the exporter
  uint64_t file_offset = 0;
  char* control = nullptr;    // of the importer
};
std::mutex shares_mutex;
std::map<Event*, EventShare>& event_shares() {
  static auto* shares = new std::map<Event*, EventShare>;
  return *shares;
}

}  // namespace

int share_event(const char* function, Event* event) {
  EventShare share;
  SharedCounter* counter = nullptr;
  if (const int code = take_counter(function, &counter, &share.file_offset)) return code;
  // Event handles are passed on without naming who gets them.
  if (const int code = export_record(function, Shared::event, share.file_offset, 0, event->context->device, true, &share.key)) {
    give_counter(share.file_offset);
    return code;
  }
  event->shared = counter;
  std::lock_guard<std::mutex> lock(shares_mutex);
  event_shares()[event] = share;
  return ACL_SUCCESS;
}

void release_shared_event(Event* event) {
  EventShare share;
  {
    std::lock_guard<std::mutex> lock(shares_mutex);
    const auto it = event_shares().find(event);
    if (it == event_shares().end()) return;
    share = it->second;
    event_shares().erase(it);
  }
  event->shared = nullptr;
  if (share.control != nullptr) {
    close_control(share.control);
  } else {
    withdraw_record(share.key);
    give_counter(share.file_offset);
  }
}

}  // namespace softcann::runtime

namespace softcann {
using namespace runtime;

namespace {

// What this process imported: key -> address.
struct Import {
  void* address;
  size_t users;
};
std::mutex imports_mutex;
std::map<std::string, Import>& imports() {
  static auto* table = new std::map<std::string, Import>;
  return *table;
}

aclError read_key(const char* function, const char* text, ShareKey* key) {
  if (text == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: key is null", function);
  if (ShareKey::parse(text, key)) return ACL_SUCCESS;
  return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: \"%.64s\" is not a key of softcann", function, text);
}

}  // namespace

aclError api::aclrtIpcMemGetExportKey(void* devPtr, size_t size, char* key, size_t len, uint64_t flags) {
  constexpr const char* kName = "aclrtIpcMemGetExportKey";
  if (devPtr == nullptr || key == nullptr || size == 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: %s", kName, devPtr == nullptr ? "devPtr is null" : key == nullptr ? "key is null" : "size is 0");
  }
  if (const int code = check_fork(kName)) return code;
  MemoryArena& arena = MemoryArena::get();
  int device = -1;
  if (arena.alias(devPtr, size, kName, &device) == nullptr) return ACL_ERROR_RT_PARAM_INVALID;
  const Allocation* a = arena.find(devPtr);
  if (a == nullptr || a->kind.load() != MemoryKind::device) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %p is not memory of aclrtMalloc; physical memory is shared with aclrtMemExportToShareableHandle",
                kName, devPtr);
  }
  if (reinterpret_cast<uintptr_t>(devPtr) % kBlock != 0) {
    return fail(ACL_ERROR_RT_ADDR_UNALIGNED, "%s: %p is not a multiple of %zu", kName, devPtr, kBlock);
  }
  ShareKey made;
  const bool any_process = (flags & ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION) != 0;
  if (const int code = export_record(kName, Shared::memory, arena.file_offset(devPtr), size, device, any_process, &made)) return code;
  return write_key(kName, made, key, len);
}

aclError api::aclrtIpcMemSetImportPid(const char* key, int32_t* pid, size_t num) {
  ShareKey parsed;
  if (const int code = read_key("aclrtIpcMemSetImportPid", key, &parsed)) return code;
  return allow_pids("aclrtIpcMemSetImportPid", parsed, pid, num);
}

aclError api::aclrtIpcMemImportByKey(void** devPtr, const char* key, uint64_t flags) {
  constexpr const char* kName = "aclrtIpcMemImportByKey";
  if (devPtr == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: devPtr is null", kName);
  ShareKey parsed;
  if (const int code = read_key(kName, key, &parsed)) return code;
  Context* context = nullptr;
  if (const int code = require_context(kName, &context)) return code;
  std::lock_guard<std::mutex> lock(imports_mutex);
  const auto known = imports().find(key);
  // A device reset ends imports with everything else.
  if (known != imports().end() && MemoryArena::get().find(known->second.address) != nullptr) {
    ++known->second.users;
    *devPtr = known->second.address;
    return ACL_SUCCESS;
  }
  int fd = -1;
  ExportRecord record{};
  if (const int code = open_record(kName, parsed, Shared::memory, &fd, &record, nullptr)) return code;
  const int code = MemoryArena::get().import(fd, record.file_offset, record.size, context->device, kName, devPtr);
  close(fd);
  if (code == ACL_SUCCESS) imports()[key] = {*devPtr, 1};
  return code;
}

// Of the importer: ends the import. Of the exporter: ends the key.
aclError api::aclrtIpcMemClose(const char* key) {
  constexpr const char* kName = "aclrtIpcMemClose";
  ShareKey parsed;
  if (const int code = read_key(kName, key, &parsed)) return code;
  if (const int code = check_fork(kName)) return code;
  void* address = nullptr;
  {
    std::lock_guard<std::mutex> lock(imports_mutex);
    const auto known = imports().find(key);
    if (known != imports().end()) {
      if (--known->second.users != 0) return ACL_SUCCESS;
      address = known->second.address;
      imports().erase(known);
    }
  }
  if (address != nullptr) {
    const Allocation* a = MemoryArena::get().find(address);
    if (a != nullptr) wait_for_device(a->device.load());
    return MemoryArena::get().release_import(address, kName);
  }
  if (own_record(kName, parsed) == nullptr) return ACL_ERROR_RT_PARAM_INVALID;
  withdraw_record(parsed);
  return ACL_SUCCESS;
}

aclError api::aclrtIpcGetEventHandle(aclrtEvent event, aclrtIpcEventHandle* handle) {
  constexpr const char* kName = "aclrtIpcGetEventHandle";
  if (handle == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: handle is null", kName);
  int code = ACL_SUCCESS;
  Event* found = find_event(kName, event, &code);
  if (found == nullptr) return code;
  std::lock_guard<std::mutex> lock(shares_mutex);
  const auto it = event_shares().find(found);
  if (it == event_shares().end()) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: event %u was not created with ACL_EVENT_IPC (0x%x)", kName, found->id, ACL_EVENT_IPC);
  }
  *handle = {};
  return write_key(kName, it->second.key, handle->reserved, sizeof(handle->reserved));
}

aclError api::aclrtIpcOpenEventHandle(aclrtIpcEventHandle handle, aclrtEvent* event) {
  constexpr const char* kName = "aclrtIpcOpenEventHandle";
  if (event == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: event is null", kName);
  ShareKey key;
  handle.reserved[sizeof(handle.reserved) - 1] = '\0';
  if (const int code = read_key(kName, handle.reserved, &key)) return code;
  Context* context = nullptr;
  if (const int code = require_context(kName, &context)) return code;
  SharedCounter* counter = nullptr;
  EventShare share{key, 0, nullptr};
  if (const int code = open_counter(kName, key, Shared::event, &counter, &share.control)) return code;
  int code = ACL_SUCCESS;
  Event* created = create_event(kName, ACL_EVENT_IPC, context, &code);
  if (created == nullptr) {
    close_control(share.control);
    return code;
  }
  created->shared = counter;
  {
    std::lock_guard<std::mutex> lock(shares_mutex);
    event_shares()[created] = share;
  }
  *event = created;
  return ACL_SUCCESS;
}

}  // namespace softcann
