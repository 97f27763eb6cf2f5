// Sixteen threads that allocate, compute, copy, hand tensors to each other and free them, on all streams of all devices, at random.
//
//     stress <seconds> [seed]
//
// Every tensor holds one number, so that memory which was used again too early, or read too early, shows as a wrong value.
// Meant to run under ThreadSanitizer and AddressSanitizer too: it is C++ because Python's lock would order the threads.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/DeviceType.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "compat/pinned.h"
#include "device/event.h"
#include "device/generator.h"
#include "device/runtime.h"
#include "device/stream.h"
#include "memory/allocators.h"

namespace {

using torch_npu::NPUEvent;

constexpr int kThreads = 16;
constexpr size_t kMostTensors = 24;  // of one thread

std::atomic<bool> stop{false};
std::atomic<long> actions{0}, checked{0}, wrong{0}, out_of_memory{0};

c10::Device npu(c10::DeviceIndex index) { return {c10::kPrivateUse1, index}; }

struct Held {
  at::Tensor tensor;
  c10::Stream stream;  // that used it last; all uses come one after the other
  float value;
};

void check(const at::Tensor& on_cpu, float value, const char* where) {
  ++checked;
  const auto* data = on_cpu.data_ptr<float>();
  for (int64_t i = 0; i < on_cpu.numel(); ++i) {
    if (data[i] == value) continue;
    ++wrong;
    std::fprintf(stderr, "%s: element %ld of %ld is %g instead of %g\n", where, static_cast<long>(i), static_cast<long>(on_cpu.numel()),
                 data[i], value);
    return;
  }
}

// Tensors on their way from one thread to another, each with an event behind the work that writes it.
class Exchange {
 public:
  struct Parcel {
    Held held;
    std::shared_ptr<NPUEvent> ready;
  };
  void put(Parcel parcel) {
    std::lock_guard lock(mutex_);
    parcels_.push_back(std::move(parcel));
  }
  std::optional<Parcel> take(size_t least) {
    std::lock_guard lock(mutex_);
    if (parcels_.size() <= least) return std::nullopt;
    Parcel parcel = std::move(parcels_.front());
    parcels_.pop_front();
    return parcel;
  }

 private:
  std::mutex mutex_;
  std::deque<Parcel> parcels_;
};

Exchange exchange;

class Worker {
 public:
  Worker(unsigned seed, int number) : random_(seed * 1000003u + static_cast<unsigned>(number)), devices_(torch_npu::device_count()) {
    choose_stream();
  }

  void run() {
    while (!stop) {
      ++actions;
      try {
        act();
      } catch (const c10::OutOfMemoryError&) {
        ++out_of_memory;
        held_.clear();
      }
    }
    while (!held_.empty()) drop();
  }

 private:
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }
  bool one_in(size_t n) { return below(n) == 0; }
  // Mostly small, now and then megabytes.
  int64_t some_size() { return 1 + static_cast<int64_t>(below(size_t{1} << (2 + below(18)))); }
  float some_value() { return static_cast<float>(below(1 << 12)); }
  c10::Stream stream() const { return torch_npu::current_stream(device_); }

  void choose_stream() {
    device_ = static_cast<c10::DeviceIndex>(below(static_cast<size_t>(devices_)));
    torch_npu::set_device(device_);
    torch_npu::set_current_stream(one_in(8) ? torch_npu::default_stream(device_)
                                            : torch_npu::stream_from_pool(device_, one_in(4) ? -1 : 0));
  }

  void act() {
    switch (below(22)) {
      case 0: case 1: case 2: return create();
      case 3: case 4: case 5: return compute();
      case 6: case 7: return across_streams();
      case 8: return check_one();
      case 9: return pinned_to_device();
      case 10: return device_to_pinned();
      case 11: return events();
      case 12: return hand_over();
      case 13: case 14: return take_over();
      case 15: case 16: case 17: return drop();
      case 18: return choose_stream();
      case 19: return raw();
      case 20: return random_numbers();
      default: return rare();
    }
  }

  void hold(at::Tensor tensor, float value) {
    if (held_.size() >= kMostTensors) drop();
    held_.push_back({std::move(tensor), stream(), value});
  }

  void create() {
    const float value = some_value();
    const int64_t n = some_size();
    if (one_in(2)) return hold(at::full({n}, value, at::TensorOptions().device(npu(device_)).dtype(at::kFloat)), value);
    at::Tensor tensor = at::empty({n}, at::TensorOptions().device(npu(device_)).dtype(at::kFloat));
    tensor.fill_(value);
    hold(std::move(tensor), value);
  }

  // What the current stream of the tensor's device gets from now on comes after all earlier uses, and the memory stays until that
  // has run.
  c10::Stream adopt(Held& held) {
    const c10::Stream here = torch_npu::current_stream(held.tensor.get_device());
    if (here != held.stream) {
      NPUEvent used;
      used.record(held.stream);
      used.block(here);
      torch_npu::device_allocator()->recordStream(held.tensor.storage().data_ptr(), here);
      held.stream = here;
    }
    return here;
  }

  void compute() {
    if (held_.empty()) return create();
    Held& held = held_[below(held_.size())];
    const c10::DeviceGuard guard(held.tensor.device());
    const c10::Stream here = adopt(held);
    const at::Tensor a = held.tensor;
    const float v = held.value;
    at::Tensor result;
    float value = v;
    switch (below(8)) {
      case 0: result = a + a, value = v + v; break;
      case 1: result = a.mul(a).sub_(a), value = v * v - v; break;
      case 2: result = at::cat({a, a.slice(0, 0, 1 + a.numel() / 2)}); break;
      case 3: result = a.clone(); break;
      case 4: result = at::empty_like(a).copy_(a); break;
      case 5: a.add_(1), held.value = v + 1; return;
      case 6: result = a.unsqueeze(0).expand({2, a.numel()}).contiguous().view(-1); break;
      default: result = at::maximum(a, at::zeros_like(a)); break;
    }
    // Keep numbers that floats hold exactly.
    if (value > 1 << 24 || result.numel() > 1 << 20) return;
    if (held_.size() >= kMostTensors) drop();
    held_.push_back({std::move(result), here, value});
  }

  // A result made on another stream from a tensor of this one, which may die at once.
  void across_streams() {
    const float value = some_value();
    at::Tensor source = at::full({some_size()}, value, at::TensorOptions().device(npu(device_)).dtype(at::kFloat));
    const c10::Stream home = stream();
    const c10::Stream other = torch_npu::stream_from_pool(device_);
    NPUEvent ready, done;
    ready.record(home);
    ready.block(other);
    torch_npu::set_current_stream(other);
    at::Tensor result = source + 1;
    if (other != home) torch_npu::device_allocator()->recordStream(source.storage().data_ptr(), other);
    source.reset();
    if (one_in(2)) {
      torch_npu::set_current_stream(home);
      done.record(other);
      done.block(home);
      if (other != home) torch_npu::device_allocator()->recordStream(result.storage().data_ptr(), home);
    }
    if (one_in(4)) check((result + 1).cpu(), value + 2, "across streams");
    hold(std::move(result), value + 1);
    torch_npu::set_current_stream(home);
  }

  void check_one() {
    if (held_.empty()) return;
    Held& held = held_[below(held_.size())];
    const c10::DeviceGuard guard(held.tensor.device());
    adopt(held);
    check(held.tensor.cpu(), held.value, "copied to the host");
  }

  // The pinned tensor dies before the copy has run.
  void pinned_to_device() {
    const float value = some_value();
    at::Tensor host = torch_compat::empty_pinned(some_size(), at::kFloat);
    host.fill_(value);
    hold(host.to(at::TensorOptions().device(npu(device_)), /*non_blocking=*/true), value);
  }

  void device_to_pinned() {
    const float value = some_value();
    const int64_t n = some_size();
    at::Tensor source = at::full({n}, value, at::TensorOptions().device(npu(device_)).dtype(at::kFloat));
    at::Tensor host = torch_compat::empty_pinned(n, at::kFloat);
    host.copy_(source, /*non_blocking=*/true);
    source.reset();
    NPUEvent done;
    done.record(stream());
    if (one_in(2)) {
      done.synchronize();
    } else {
      while (!done.query()) std::this_thread::yield();
    }
    check(host, value, "copied to pinned memory");
  }

  void events() {
    NPUEvent begin(NPUEvent::kTiming), end(NPUEvent::kTiming);
    begin.record(stream());
    create();
    end.record(stream());
    if (one_in(2)) begin.record(stream());  // again
    if (one_in(4)) return;                  // dies before it is reached
    if (one_in(2)) {
      end.synchronize();
    } else {
      torch_npu::synchronize_stream(stream());
    }
    begin.synchronize();
    begin.elapsed_time(end);
    torch_npu::query_stream(stream());
  }

  void hand_over() {
    if (held_.empty()) return;
    Held held = std::move(held_.back());
    held_.pop_back();
    auto ready = std::make_shared<NPUEvent>();
    ready->record(held.stream);
    exchange.put({std::move(held), std::move(ready)});
  }

  void take_over() {
    auto parcel = exchange.take(one_in(4) ? 0 : 8);
    if (!parcel) return;
    Held& held = parcel->held;
    const c10::DeviceGuard guard(held.tensor.device());
    const c10::Stream here = torch_npu::current_stream(held.tensor.get_device());
    parcel->ready->block(here);
    if (one_in(2)) check((held.tensor + 1).cpu(), held.value + 1, "from another thread");
    if (here != held.stream) torch_npu::device_allocator()->recordStream(held.tensor.storage().data_ptr(), here);
  }

  void drop() {
    if (held_.empty()) return;
    std::swap(held_[below(held_.size())], held_.back());
    held_.pop_back();
  }

  void raw() {
    void* data = torch_npu::raw_alloc(static_cast<size_t>(some_size()));
    torch_npu::raw_delete(data);
  }

  void random_numbers() {
    const at::Tensor drawn = at::rand({some_size()}, at::TensorOptions().device(npu(device_)).dtype(at::kFloat));
    if (one_in(4)) {
      ++checked;
      const at::Tensor host = drawn.cpu();
      if (!(host.min().item<float>() >= 0 && host.max().item<float>() < 1)) {
        ++wrong;
        std::fprintf(stderr, "rand: a number outside of [0, 1)\n");
      }
    }
  }

  void rare() {
    switch (below(12)) {
      case 0: return torch_npu::device_allocator()->emptyCache({0, 0});
      case 1: return torch_npu::synchronize_device(device_);
      case 2: torch_npu::memory_snapshot(); return;
      case 3: torch_npu::device_allocator()->getDeviceStats(device_); return;
      case 4: torch_npu::device_allocator()->resetPeakStats(device_); return;
      case 5: torch_npu::host_allocator()->empty_cache(); return;
      case 6: torch_npu::host_allocator()->get_stats(); return;
      case 7:
        torch_npu::record_memory_history(one_in(2), nullptr, 1000, torch_npu::memory::History::RecordContext::NEVER, one_in(2));
        return;
      case 8: torch_npu::device_allocator()->getMemoryInfo(device_); return;
      case 9: torch_npu::set_memory_fraction(one_in(2) ? 0.9 : 1.0, device_); return;
      case 10: return reseed();
      default: std::this_thread::sleep_for(std::chrono::milliseconds(1)); return;
    }
  }

  void reseed() {
    at::Generator generator = torch_npu::default_generator(device_);
    const std::lock_guard lock(generator.mutex());
    generator.set_current_seed(below(100));
  }

  std::mt19937 random_;
  c10::DeviceIndex devices_;
  c10::DeviceIndex device_ = 0;
  std::vector<Held> held_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: stress <seconds> [seed]\n");
    return 2;
  }
  c10::register_privateuse1_backend("npu");  // as the Python package does
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<long>(1000 * std::atof(argv[1])));
  const auto seed = static_cast<unsigned>(argc > 2 ? std::atoi(argv[2]) : 1);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      try {
        Worker(seed, i).run();
      } catch (const std::exception& e) {
        ++failed;
        std::fprintf(stderr, "thread %d: %s\n", i, e.what());
      }
    });
  }
  while (std::chrono::steady_clock::now() < end && failed == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  while (exchange.take(0)) {
  }
  for (c10::DeviceIndex device = 0; device < torch_npu::device_count(); ++device) {
    torch_npu::synchronize_device(device);
  }
  torch_npu::device_allocator()->emptyCache({0, 0});
  long left = 0;
  for (c10::DeviceIndex device = 0; device < torch_npu::device_count(); ++device) {
    left += torch_npu::device_allocator()->getDeviceStats(device).reserved_bytes[0].current;
  }
  std::printf("%ld actions, %ld tensors checked, %ld wrong, %ld times out of memory, %ld bytes left, %d threads failed\n", actions.load(),
              checked.load(), wrong.load(), out_of_memory.load(), left, failed.load());
  return wrong == 0 && failed == 0 && left == 0 ? 0 : 1;
}
