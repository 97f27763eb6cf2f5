#include "device/external_event.h"

#include <c10/util/Exception.h>

#include <array>
#include <mutex>
#include <optional>
#include <vector>

#include "cann/cann.h"
#include "cann/loader.h"
#include "device/event.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "launch/queue.h"

namespace torch_npu {

// Records and waits are numbered as the host asks for them: the record writes its number, the wait waits until the word is at least its
// own. So nothing has to be written back to zero, and neither a fast second record nor a late wait can be lost.
struct ExternalEvent::Word {
  uint64_t* address;  // on the device
  c10::DeviceIndex device;
  std::mutex mutex;
  uint64_t records = 0, waits = 0;
  std::optional<c10::Stream> recorded_on;
  NPUEvent last;  // behind the newest write: orders those of several streams
};

namespace {

constexpr size_t kWordBytes = 32, kWords = 128;

// Words are never given back to CANN: their streams may still be on the way to them. The next event goes on counting where the last one
// stopped.
class Words {
 public:
  ExternalEvent::Word* take(c10::DeviceIndex device) {
    std::lock_guard lock(mutex_);
    auto& free = free_[device];
    if (free.empty()) grow(device);
    ExternalEvent::Word* word = free.back();
    free.pop_back();
    word->waits = word->records;
    return word;
  }
  // A stream that waits for a record which can no longer come keeps its word.
  void give(ExternalEvent::Word* word) {
    std::lock_guard lock(mutex_);
    if (word->waits <= word->records) free_[word->device].push_back(word);
  }

 private:
  void grow(c10::DeviceIndex device) {
    const DeviceSwitch scope(device);
    void* memory = nullptr;
    NPU_CHECK(cann::aclrtMalloc(&memory, kWordBytes * kWords, ACL_MEM_MALLOC_HUGE_FIRST));
    NPU_CHECK(cann::aclrtMemset(memory, kWordBytes * kWords, 0, kWordBytes * kWords));
    for (size_t i = 0; i < kWords; ++i) {
      auto* word = new ExternalEvent::Word{};
      word->address = reinterpret_cast<uint64_t*>(static_cast<char*>(memory) + i * kWordBytes);
      word->device = device;
      free_[device].push_back(word);
    }
  }

  std::mutex mutex_;
  std::array<std::vector<ExternalEvent::Word*>, kMaxDevices> free_;
};

Words& words() {
  static auto* instance = new Words;  // leaked: events die until the process is gone
  return *instance;
}

}  // namespace

ExternalEvent::ExternalEvent() {
  for (const cann::SymbolBase* needed : std::initializer_list<const cann::SymbolBase*>{&cann::aclrtValueWrite, &cann::aclrtValueWait}) {
    if (!needed->available()) throw NPUNotSupportedError(0, "torch.npu.ExternalEvent: " + cann::absence(*needed) + ".");
  }
}

ExternalEvent::~ExternalEvent() {
  if (Word* word = word_.load(); word != nullptr && is_initialized()) words().give(word);
}

ExternalEvent::Word& ExternalEvent::word(c10::Stream stream) {
  TORCH_CHECK(stream.device_type() == c10::kPrivateUse1, "Expected a stream of an npu device, got one of ", stream.device());
  const c10::DeviceIndex device = stream.device_index();
  Word* used = word_.load(std::memory_order_acquire);
  if (used == nullptr) {
    Word* taken = words().take(device);
    if (word_.compare_exchange_strong(used, taken)) used = taken;
    else words().give(taken);  // another thread was first
  }
  TORCH_CHECK(used->device == device, "The event is on npu:", static_cast<int>(used->device), " and the stream on npu:",
              static_cast<int>(device), ".");
  return *used;
}

c10::DeviceIndex ExternalEvent::device_index() const noexcept {
  const Word* word = word_.load();
  return word != nullptr ? word->device : c10::DeviceIndex{-1};
}

void ExternalEvent::record(c10::Stream stream) {
  const aclrtStream on = stream_handle(stream);
  Word& w = word(stream);
  std::lock_guard lock(w.mutex);
  launch::raise_pending(w.device);
  if (w.recorded_on && *w.recorded_on != stream) w.last.block(stream);
  w.recorded_on = stream;
  launch::push(w.device, "aclrtValueWrite", [address = w.address, number = ++w.records, on] {
    NPU_CHECK(cann::aclrtValueWrite(address, number, 0, on));
  });
  w.last.record(stream);
  recorded_ = true;
}

void ExternalEvent::wait(c10::Stream stream) {
  const aclrtStream on = stream_handle(stream);
  Word& w = word(stream);
  std::lock_guard lock(w.mutex);
  launch::raise_pending(w.device);
  w.waits = w.records > w.waits ? w.records : w.waits + 1;
  launch::push(w.device, "aclrtValueWait", [address = w.address, number = w.waits, on] {
    NPU_CHECK(cann::aclrtValueWait(address, number, ACL_STREAM_WAIT_VALUE_GEQ, on));
  });
}

void ExternalEvent::reset(c10::Stream stream) {
  Word& w = word(stream);
  std::lock_guard lock(w.mutex);
  if (w.records > w.waits) w.waits = w.records;
}

bool ExternalEvent::query() const { return !recorded_ || word_.load()->last.query(); }

void ExternalEvent::synchronize() const {
  if (recorded_) word_.load()->last.synchronize();
}

}  // namespace torch_npu
