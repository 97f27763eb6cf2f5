#include "memory/sharing.h"

#include <c10/core/StorageImpl.h>
#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cann/cann.h"
#include "device/event.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "launch/queue.h"
#include "memory/allocators.h"
#include "memory/device_allocator.h"

namespace torch_npu {
namespace {

constexpr size_t kKeyBytes = 65;
constexpr uint64_t kAnyProcess = 1;  // ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION: the receivers are not known yet

using Counter = std::atomic<int64_t>;
static_assert(Counter::is_always_lock_free, "counters are shared between processes");

// Counters, mapped by sender and receivers. The memory has no name in a file system, so nothing is left when processes are killed;
// receivers find it as the sender's open file.
class CounterFile {
 public:
  static constexpr int kSlots = 4096;

  static std::shared_ptr<CounterFile> make() {
    const std::string label = c10::str("torch_npu_", std::random_device{}());
    const int file = memfd_create(label.c_str(), MFD_CLOEXEC);
    check(file >= 0 && ftruncate(file, kBytes) == 0, label);
    return std::shared_ptr<CounterFile>(new CounterFile(c10::str("/proc/", getpid(), "/fd/", file, ":", label), file));  // stays open
  }

  static std::shared_ptr<CounterFile> open(const std::string& name) {
    const size_t colon = name.rfind(':');
    const std::string path = name.substr(0, colon), expected = "/memfd:" + name.substr(colon + 1) + " ";
    char target[128] = {};
    // The number may stand for another file by now, or another process.
    const bool same = readlink(path.c_str(), target, sizeof target - 1) > 0 && std::string(target).rfind(expected, 0) == 0;
    const int file = same ? ::open(path.c_str(), O_RDWR | O_CLOEXEC) : -1;
    if (!same) errno = ENOENT;
    check(file >= 0, name);
    std::shared_ptr<CounterFile> counters(new CounterFile(name, file));
    close(file);
    return counters;
  }

  ~CounterFile() { munmap(counters_, kBytes); }
  CounterFile(const CounterFile&) = delete;

  const std::string& name() const { return name_; }
  Counter& operator[](int slot) { return counters_[slot]; }

 private:
  static constexpr size_t kBytes = kSlots * sizeof(Counter);

  static void check(bool done, const std::string& name) {
    TORCH_CHECK(done, "An npu storage from another process cannot be opened, or shared: ", name, ": ", std::strerror(errno),
                ". The process that sent it has to live until it has been received.");
  }

  CounterFile(std::string name, int file) : name_(std::move(name)) {
    void* mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    check(mapped != MAP_FAILED, name_);
    counters_ = static_cast<Counter*>(mapped);
  }

  const std::string name_;
  Counter* counters_;
};

// ---- the sender ----------------------------------------------------------------------------------------------------------

struct Sent {
  c10::Storage storage;
  NPUEvent event;
  std::shared_ptr<std::string> key;
  std::shared_ptr<CounterFile> file;
};

// What this process has sent. Leaked: storages die with the process.
class Outbox {
 public:
  SharedStorage send(const c10::Storage& storage) {
    const c10::DeviceIndex device = storage.device().index();
    const auto [base, bytes] = segment_of(storage);
    collect();
    NPUEvent event(NPUEvent::kInterprocess);
    std::string event_handle = record(event, device);
    std::lock_guard lock(mutex_);
    forget_after_fork();
    std::shared_ptr<std::string> key = key_of(base, bytes);
    if (free_.empty()) add_file();
    const auto [file, slot] = free_.back();
    free_.pop_back();
    (*file)[slot].store(1);
    sent_.emplace(std::pair(file->name(), slot), Sent{storage, std::move(event), key, file});
    return {device, getpid(), *key, static_cast<size_t>(static_cast<const char*>(storage.data()) - base), storage.nbytes(), file->name(), slot, std::move(event_handle)};
  }

  // This process got back what it sent.
  c10::Storage receive_own(const SharedStorage& shared) {
    c10::Storage storage;
    {
      std::lock_guard lock(mutex_);
      const auto found = sent_.find({shared.counters, shared.slot});
      TORCH_CHECK(found != sent_.end(), "This handle of an npu storage has been used already.");
      storage = found->second.storage;
      (*found->second.file)[shared.slot].fetch_sub(1);
    }
    collect();
    return storage;
  }

  size_t collect() {
    std::vector<Sent> done;  // dies without the lock: freeing memory may take a while
    std::lock_guard lock(mutex_);
    forget_after_fork();
    for (auto at = sent_.begin(); at != sent_.end();) {
      const int slot = at->first.second;
      if ((*at->second.file)[slot].load(std::memory_order_acquire) > 0) {
        ++at;
        continue;
      }
      free_.emplace_back(at->second.file, slot);
      done.push_back(std::move(at->second));
      at = sent_.erase(at);
    }
    return sent_.size();
  }

 private:
  static std::pair<char*, size_t> segment_of(const c10::Storage& storage) {
    TORCH_CHECK(storage.device_type() == c10::kPrivateUse1, "Expected a storage on an npu, got one on ", storage.device());
    memory::Block* block = storage.data() == nullptr ? nullptr : memory::device_cache(storage.device().index()).find(storage.data());
    TORCH_CHECK(block != nullptr, "This npu storage cannot be shared with another process: its memory is not from PyTorch's allocator (",
                "it was received from a process, or made by another library). Share a clone().");
    TORCH_CHECK(block->segment->expandable == nullptr,
                "npu storages cannot be shared between processes with expandable_segments:True: take it out of PYTORCH_NPU_ALLOC_CONF.");
    return {block->segment->base, block->segment->bytes};
  }

  // Where events cannot be shared, the memory has to be ready before it is sent.
  static std::string record(NPUEvent& event, c10::DeviceIndex device) {
    if (!cann::aclrtIpcGetEventHandle.available()) {
      synchronize_stream(current_stream(device));
      return {};
    }
    const aclrtIpcEventHandle handle = event.ipc_handle(device);
    event.record(current_stream(device));
    launch::drain(device);
    return std::string(handle.reserved, sizeof handle.reserved);
  }

  std::shared_ptr<std::string> key_of(char* base, size_t bytes) {
    std::weak_ptr<std::string>& known = keys_[base];
    if (auto key = known.lock()) return key;
    char text[kKeyBytes] = {};
    NPU_CHECK(cann::aclrtIpcMemGetExportKey(base, bytes, text, sizeof text, kAnyProcess));
    auto key = std::make_shared<std::string>(text);
    known = key;
    return key;
  }

  void add_file() {
    auto file = CounterFile::make();
    for (int slot = CounterFile::kSlots; slot-- > 0;) free_.emplace_back(file, slot);
  }

  // A child of fork() owns none of it, and must not free it either.
  void forget_after_fork() {
    if (process_ == getpid()) return;
    process_ = getpid();
    new std::map(std::move(sent_));
    new std::vector(std::move(free_));
    sent_.clear();
    free_.clear();
    keys_.clear();
  }

  std::mutex mutex_;
  pid_t process_ = getpid();
  std::map<std::pair<std::string, int>, Sent> sent_;
  std::vector<std::pair<std::shared_ptr<CounterFile>, int>> free_;
  std::unordered_map<char*, std::weak_ptr<std::string>> keys_;
};

Outbox& outbox() {
  static auto* box = new Outbox;
  return *box;
}

// ---- the receiver --------------------------------------------------------------------------------------------------------

// A segment of another process, mapped here; unmapped with its last storage.
struct Mapped {
  Mapped(c10::DeviceIndex device, std::string key) : device(device), key(std::move(key)) {
    const DeviceSwitch scope(device);
    NPU_CHECK(cann::aclrtIpcMemImportByKey(&base, this->key.c_str(), 0));
  }
  ~Mapped() {
    if (process != getpid() || !is_initialized()) return;
    try {
      const DeviceSwitch scope(device);
      cann::aclrtIpcMemClose(key.c_str());
    } catch (...) {
      // The device is gone, and the mapping with it.
    }
  }
  const c10::DeviceIndex device;
  const std::string key;
  const pid_t process = getpid();
  void* base = nullptr;
};

struct Received {
  std::shared_ptr<Mapped> segment;
  std::shared_ptr<CounterFile> file;
  int slot;

  // The sender may use the memory again at once, so whatever this process does with it has to be over.
  static void release(void* context) {
    const std::unique_ptr<Received> self(static_cast<Received*>(context));
    if (self->segment->process != getpid()) {
      new auto(std::move(*self));
      return;
    }
    try {
      if (is_initialized()) synchronize_device(self->segment->device);
    } catch (...) {
      // The error was, or will be, raised by who waits for the device.
    }
    (*self->file)[self->slot].fetch_sub(1, std::memory_order_release);
  }
};

std::mutex inbox_mutex;

template <class T, class Make>
std::shared_ptr<T> shared_instance(std::map<std::string, std::weak_ptr<T>>& known, const std::string& name, Make make) {
  std::lock_guard lock(inbox_mutex);
  std::weak_ptr<T>& slot = known[name];
  std::shared_ptr<T> instance = slot.lock();
  if (instance == nullptr) slot = instance = make();
  return instance;
}

}  // namespace

SharedStorage share_storage(const c10::Storage& storage) { return outbox().send(storage); }

c10::Storage open_shared_storage(const SharedStorage& shared) {
  if (shared.process == getpid()) return outbox().receive_own(shared);
  static auto* files = new std::map<std::string, std::weak_ptr<CounterFile>>;
  static auto* segments = new std::map<std::string, std::weak_ptr<Mapped>>;
  const auto device = static_cast<c10::DeviceIndex>(shared.device);
  check_device(device);
  const DeviceSwitch scope(device);
  auto file = shared_instance(*files, shared.counters, [&] { return CounterFile::open(shared.counters); });
  auto segment = shared_instance(*segments, shared.key, [&] { return std::make_shared<Mapped>(device, shared.key); });
  if (!shared.event.empty()) {
    aclrtIpcEventHandle handle{};
    TORCH_CHECK(shared.event.size() == sizeof handle.reserved, "The handle of a shared npu storage is damaged.");
    std::memcpy(handle.reserved, shared.event.data(), sizeof handle.reserved);
    NPUEvent::from_ipc_handle(device, handle).block(current_stream(device));
    launch::drain(device);
  }
  char* data = static_cast<char*>(segment->base) + shared.offset;
  auto received = std::make_unique<Received>(Received{std::move(segment), std::move(file), shared.slot});
  c10::DataPtr pointer(data, received.release(), &Received::release, c10::Device(c10::kPrivateUse1, device));
  return c10::Storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), shared.bytes, std::move(pointer),
                                                            device_allocator(), /*resizable=*/false));
}

size_t collect_shared_storages() { return outbox().collect(); }

}  // namespace torch_npu
