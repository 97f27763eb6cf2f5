#include "device/host_function.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cann/cann.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "launch/queue.h"

namespace torch_npu {
namespace {

constexpr int kLookUpMs = 50;  // how often a thread with nothing to run looks whether it is to end
constexpr int kExitTimeoutMs = 10'000;

class Reporter {
 public:
  Reporter(aclrtStream stream, c10::DeviceIndex device) : stream_(stream), device_(device), thread_([this] { run(); }) {
    try {
      const DeviceSwitch scope(device);
      NPU_CHECK(cann::aclrtSubscribeReport(id(), stream_));
    } catch (...) {
      end();
      throw;
    }
  }
  ~Reporter() {
    if (!thread_.joinable()) return;
    const int code = cann::aclrtUnSubscribeReport(id(), stream_);
    static_cast<void>(code);  // gone with its device
    end();
  }

 private:
  uint64_t id() { return static_cast<uint64_t>(thread_.native_handle()); }

  void run() {
    pthread_setname_np(pthread_self(), "npu_report");
    try {
      set_device(device_);
      // Answers an error while there is nothing to run, and before the thread is subscribed.
      while (!stop_.load()) {
        if (cann::aclrtProcessReport(kLookUpMs) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    } catch (...) {
      // Without a device there is nothing to report.
    }
  }

  void end() {
    stop_ = true;
    thread_.join();
  }

  const aclrtStream stream_;
  const c10::DeviceIndex device_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Reporters {
  std::mutex mutex;
  std::map<std::pair<c10::DeviceIndex, aclrtStream>, std::unique_ptr<Reporter>> of_stream;
};

Reporters& reporters() {
  static auto* instance = new Reporters;
  return *instance;
}

std::pair<c10::DeviceIndex, aclrtStream> key(c10::Stream stream) {
  TORCH_CHECK(stream.device_type() == c10::kPrivateUse1, "Expected a stream of an npu device, got one of ", stream.device());
  return {stream.device_index(), stream_handle(stream)};
}

}  // namespace

void subscribe_report(c10::Stream stream) {
  const auto at = key(stream);
  Reporters& all = reporters();
  std::lock_guard lock(all.mutex);
  auto& reporter = all.of_stream[at];
  TORCH_CHECK(reporter == nullptr, "A thread is subscribed for the host functions of this stream already.");
  try {
    reporter = std::make_unique<Reporter>(at.second, at.first);
  } catch (...) {
    all.of_stream.erase(at);
    throw;
  }
}

void unsubscribe_report(c10::Stream stream) {
  const auto at = key(stream);
  synchronize_stream(stream);  // functions on their way still find the thread
  Reporters& all = reporters();
  std::unique_ptr<Reporter> ended;
  std::lock_guard lock(all.mutex);
  const auto found = all.of_stream.find(at);
  TORCH_CHECK(found != all.of_stream.end(), "No thread is subscribed for the host functions of this stream.");
  ended = std::move(found->second);
  all.of_stream.erase(found);
}

void unsubscribe_all_reports() noexcept {
  try {
    Reporters& all = reporters();
    std::map<std::pair<c10::DeviceIndex, aclrtStream>, std::unique_ptr<Reporter>> ended;
    {
      std::lock_guard lock(all.mutex);
      ended.swap(all.of_stream);
    }
    for (auto& [at, reporter] : ended) {
      launch::drain_nothrow(at.first);
      if (is_initialized() && cann::aclrtSynchronizeStreamWithTimeout.available()) {
        const DeviceSwitch scope(at.first);
        cann::aclrtSynchronizeStreamWithTimeout(at.second, kExitTimeoutMs);
      }
    }
  } catch (...) {
    // The process is exiting.
  }
}

void launch_host_function(c10::Stream stream, void (*function)(void*), void* argument) {
  const auto at = key(stream);
  Reporters& all = reporters();
  std::lock_guard lock(all.mutex);
  TORCH_CHECK(all.of_stream.count(at) != 0,
              "No thread is subscribed for the host functions of this stream: call torch.npu._subscribe_report(stream) first.");
  launch::raise_pending(at.first);
  launch::push(at.first, "aclrtLaunchCallback", [function, argument, on = at.second] {
    NPU_CHECK(cann::aclrtLaunchCallback(function, argument, ACL_CALLBACK_BLOCK, on));
  });
}

}  // namespace torch_npu
