// The consumer's side of a launch: two-phase aclnn call, workspace, executor reuse, error attribution.
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "cann/cann.h"
#include "cann/export.h"
#include "cann/loader.h"
#include "device/control.h"
#include "launch/arguments.h"
#include "launch/config.h"
#include "launch/launch.h"
#include "launch/record.h"
#include "launch/stacks.h"

namespace torch_npu::launch {
namespace {

using Phase2 = int (*)(void* workspace, uint64_t size, aclOpExecutor* executor, aclrtStream stream);

struct RecordView {
  const Record& record;
  void* const* addresses;
  const uint64_t* words;

  explicit RecordView(void* body)
      : record(*static_cast<const Record*>(body)),
        addresses(reinterpret_cast<void* const*>(&record + 1)),
        words(reinterpret_cast<const uint64_t*>(addresses + record.addresses)) {}

  std::string describe() const {
    return std::string(record.op) + " (" + record.function->name + ") with " +
           describe_arguments(*record.function, words);
  }
};

// A repeatable executor with the argument objects it was made from.
struct Entry {
  Entry(const RecordView& view) : arguments(*view.record.function, view.words, view.addresses) {}
  ~Entry() {
    if (executor != nullptr) cann::aclDestroyAclOpExecutor(executor);
  }

  Arguments arguments;
  aclOpExecutor* executor = nullptr;
  uint64_t workspace_size = 0;
  const AclnnFunction* function = nullptr;
  std::vector<uint64_t> words;
  std::vector<void*> addresses;
  uint64_t hash = 0;
};

uint64_t hash_of(const AclnnFunction* function, const uint64_t* words, size_t n) {
  uint64_t h = reinterpret_cast<uint64_t>(function) * 0x9E3779B97F4A7C15u;
  for (size_t i = 0; i < n; ++i) {
    h = (h ^ words[i]) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  return h;
}

thread_local uint64_t running_stack = 0;

// State of one device's launches. Used by its consumer alone, or under `mutex` by callers when there is no queue.
class Executor {
 public:
  void run(void* body) {
    std::lock_guard lock(mutex_);
    const RecordView view(body);
    remember(view);
    const Record& r = view.record;
    running_stack = r.stack;
    resolve(*r.function);
    const StreamLimits limits(view);
    if (r.reply != nullptr) {
      run_for_shapes(view);
    } else if (!r.function->cacheable || limits.used || !reuse()) {
      run_once(view);
    } else {
      run_cached(view);
    }
    if (config().blocking) check(cann::aclrtSynchronizeStream(r.stream), "aclrtSynchronizeStream", view);
    running_stack = 0;  // stays where an exception leaves from
  }

  void forget() {
    std::lock_guard lock(mutex_);
    index_.clear();
    entries_.clear();
  }

  ExecutorCacheStats stats() {
    std::lock_guard lock(mutex_);
    return {hits_, misses_, index_.size()};
  }

  std::string culprit(std::string_view message) {
    std::lock_guard lock(mutex_);
    const Past* past = find_culprit(message);
    if (past == nullptr) return {};
    std::string text = std::string(past->op) + " (" + past->function->name + ")";
    if (past->complete) text += " with " + describe_arguments(*past->function, past->words.data());
    return text;
  }

  uint64_t culprit_stack(std::string_view message) {
    std::lock_guard lock(mutex_);
    const Past* past = find_culprit(message);
    return past == nullptr ? 0 : past->stack;
  }

 private:
  // The thread that prepares an operator has to be told of the limits of its stream; what it prepares is for this stream alone.
  struct StreamLimits {
    explicit StreamLimits(const RecordView& view) : stream(view.record.stream), used(has_limits(stream)) {
      if (C10_UNLIKELY(used)) check(cann::aclrtUseStreamResInCurrentThread(stream), "aclrtUseStreamResInCurrentThread", view);
    }
    ~StreamLimits() {
      if (C10_UNLIKELY(used)) cann::aclrtUnuseStreamResInCurrentThread(stream);
    }
    const aclrtStream stream;
    const bool used;
  };

  static bool reuse() {
    static const bool yes = config().reuse_executors && cann::aclSetAclOpExecutorRepeatable.available() &&
                            cann::aclSetTensorAddr.available() && cann::aclDestroyAclOpExecutor.available();
    return yes;
  }

  static void check(int code, const char* call, const RecordView& view) {
    if (C10_UNLIKELY(code != 0)) cann::raise(code, call, view.describe().c_str());
  }

  static void resolve(const AclnnFunction& f) {
    if (C10_LIKELY(f.phase2.load(std::memory_order_acquire) != nullptr)) return;
    f.phase1 = cann::find_aclnn((std::string(f.name) + "GetWorkspaceSize").c_str(), f.since);
    f.phase2 = cann::find_aclnn(f.name, f.since);
  }

  static aclOpExecutor* phase1(const RecordView& view, const Arguments& arguments, uint64_t* size) {
    aclOpExecutor* executor = nullptr;
    const AclnnFunction& f = *view.record.function;
    check(f.invoke(f.phase1.load(std::memory_order_relaxed), arguments.values(), size, &executor), f.name, view);
    return executor;
  }

  void phase2(const RecordView& view, uint64_t size, aclOpExecutor* executor) {
    const AclnnFunction& f = *view.record.function;
    void* workspace = size != 0 ? workspace_of(view, size) : nullptr;
    check(reinterpret_cast<Phase2>(f.phase2.load(std::memory_order_relaxed))(workspace, size, executor, view.record.stream), f.name, view);
  }

  void run_once(const RecordView& view) {
    const Arguments arguments(*view.record.function, view.words, view.addresses);
    uint64_t size = 0;
    aclOpExecutor* executor = phase1(view, arguments, &size);
    phase2(view, size, executor);
  }

  void run_for_shapes(const RecordView& view) {
    const Arguments arguments(*view.record.function, view.words, view.addresses);
    uint64_t size = 0;
    aclOpExecutor* executor = phase1(view, arguments, &size);
    phase2(view, size, executor);
    check(cann::aclrtSynchronizeStream(view.record.stream), "aclrtSynchronizeStream", view);
    for (int output : view.record.reply->outputs) {
      int64_t* dims = nullptr;
      uint64_t n = 0;
      check(cann::aclGetViewShape(arguments.tensors()[output].tensor, &dims, &n), "aclGetViewShape", view);
      view.record.reply->shapes.emplace_back(dims, dims + n);
      delete[] dims;
    }
  }

  void run_cached(const RecordView& view) {
    const Record& r = view.record;
    const uint64_t hash = hash_of(r.function, view.words, r.words);
    if (const auto found = index_.find(hash); found != index_.end()) {
      Entry& entry = **found->second;
      if (entry.function == r.function && entry.words.size() == r.words &&
          std::memcmp(entry.words.data(), view.words, r.words * 8) == 0) {
        ++hits_;
        entries_.splice(entries_.begin(), entries_, found->second);
        rebind(view, entry);
        return phase2(view, entry.workspace_size, entry.executor);
      }
      return run_once(view);  // two keys with one hash: the first keeps its place
    }
    ++misses_;
    auto entry = std::make_unique<Entry>(view);
    aclOpExecutor* executor = phase1(view, entry->arguments, &entry->workspace_size);
    if (cann::aclSetAclOpExecutorRepeatable(executor) != 0) {
      return phase2(view, entry->workspace_size, executor);  // this operator does not allow reuse
    }
    entry->executor = executor;
    entry->function = r.function;
    entry->hash = hash;
    entry->words.assign(view.words, view.words + r.words);
    entry->addresses.assign(view.addresses, view.addresses + r.addresses);
    phase2(view, entry->workspace_size, executor);
    entries_.push_front(std::move(entry));
    index_.emplace(hash, entries_.begin());
    if (index_.size() > kCacheSize) evict();
  }

  void rebind(const RecordView& view, Entry& entry) {
    const auto& tensors = entry.arguments.tensors();
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (entry.addresses[i] == view.addresses[i]) continue;
      check(cann::aclSetTensorAddr(entry.executor, tensors[i].index, tensors[i].tensor, view.addresses[i]), "aclSetTensorAddr", view);
      entry.addresses[i] = view.addresses[i];
    }
  }

  void evict() {
    index_.erase(entries_.back()->hash);
    entries_.pop_back();
  }

  // One growing buffer per stream; the stream's own order makes sharing it between operators safe.
  void* workspace_of(const RecordView& view, uint64_t size) {
    Workspace& w = workspaces_[view.record.stream];
    if (w.size >= size) return w.data;
    if (w.data != nullptr) {
      check(cann::aclrtSynchronizeStream(view.record.stream), "aclrtSynchronizeStream", view);
      check(cann::aclrtFree(std::exchange(w.data, nullptr)), "aclrtFree", view);
      w.size = 0;
    }
    const uint64_t rounded = (size + kWorkspaceUnit - 1) / kWorkspaceUnit * kWorkspaceUnit;
    check(cann::aclrtMalloc(&w.data, rounded, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc (workspace)", view);
    w.size = rounded;
    return w.data;
  }

  struct Past {
    const AclnnFunction* function;
    const char* op;
    uint64_t stack;
    bool complete;  // all words fit
    std::array<uint64_t, 64> words;
  };

  const Past* find_culprit(std::string_view message) const {
    for (uint64_t back = 1; back <= kHistory && back <= launches_; ++back) {
      const Past& past = history_[(launches_ - back) % kHistory];
      const std::string_view name = past.function->name;
      const size_t at = message.find(name);
      // "aclnnAdd" must not match "aclnnAddmm".
      if (at == std::string_view::npos || (at + name.size() < message.size() && std::isalnum(message[at + name.size()]))) continue;
      return &past;
    }
    return nullptr;
  }

  void remember(const RecordView& view) {
    Past& past = history_[launches_++ % kHistory];
    past.function = view.record.function;
    past.op = view.record.op;
    past.stack = view.record.stack;
    past.complete = view.record.words <= past.words.size();
    if (past.complete) std::memcpy(past.words.data(), view.words, view.record.words * 8);
  }

  static constexpr size_t kCacheSize = 4096;
  static constexpr uint64_t kHistory = 256;
  static constexpr uint64_t kWorkspaceUnit = 2 << 20;

  struct Workspace {
    void* data = nullptr;
    uint64_t size = 0;
  };

  std::mutex mutex_;
  std::list<std::unique_ptr<Entry>> entries_;  // most recently used first
  std::unordered_map<uint64_t, std::list<std::unique_ptr<Entry>>::iterator> index_;
  std::unordered_map<aclrtStream, Workspace> workspaces_;
  std::array<Past, kHistory> history_;
  uint64_t launches_ = 0, hits_ = 0, misses_ = 0;
};

// Leaked: launches may come from destructors during exit.
Executor& executor_of(int64_t device) {
  static std::array<std::atomic<Executor*>, 64> executors;
  static std::mutex mutex;
  auto& slot = executors[device];
  if (auto* e = slot.load(std::memory_order_acquire); C10_LIKELY(e != nullptr)) return *e;
  std::lock_guard lock(mutex);
  if (slot.load() == nullptr) slot.store(new Executor, std::memory_order_release);
  return *slot.load();
}

}  // namespace

bool find(const AclnnFunction& f) noexcept {
  if (f.absent.load(std::memory_order_relaxed)) return false;
  void* phase1 = cann::find_aclnn_or_null((std::string(f.name) + "GetWorkspaceSize").c_str());
  void* phase2 = cann::find_aclnn_or_null(f.name);
  if (phase1 != nullptr && phase2 != nullptr) {
    f.phase1.store(phase1, std::memory_order_relaxed);
    f.phase2.store(phase2, std::memory_order_release);
    return true;
  }
  if (!cann::has_operator_libraries()) return true;
  f.absent.store(true, std::memory_order_relaxed);
  return false;
}

TORCH_NPU_API std::vector<const AclnnFunction*> missing_functions() {
  std::vector<const AclnnFunction*> missing;
  const AclnnFunctions all = all_functions();
  std::copy_if(all.first, all.first + all.count, std::back_inserter(missing), [](const AclnnFunction* f) { return !found(*f); });
  return missing;
}

void run_record(void* body) { executor_of(static_cast<const Record*>(body)->device).run(body); }

TORCH_NPU_API ExecutorCacheStats executor_cache_stats(c10::DeviceIndex device) { return executor_of(device).stats(); }

void forget_executors(c10::DeviceIndex device) { executor_of(device).forget(); }

uint64_t take_failed_stack() { return std::exchange(running_stack, 0); }

std::string describe_culprit_stack(c10::DeviceIndex device, std::string_view cann_message) {
  return describe_stack(executor_of(device).culprit_stack(cann_message));
}

std::string describe_culprit(c10::DeviceIndex device, std::string_view cann_message) {
  return executor_of(device).culprit(cann_message);
}

}  // namespace torch_npu::launch
