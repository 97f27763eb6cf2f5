// A device made of addresses for tests of the device cache: counts what is held, and lets the test decide when events end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "check.h"
#include "memory/backend.h"

struct FakeDevice {
  size_t total = size_t{1} << 30;
  size_t held = 0;
  size_t kept = 0;  // of it, without addresses
  size_t peak_held = 0;
  std::map<char*, size_t> segments;
  std::map<char*, size_t> mapped;
  std::map<char*, size_t> reserved;
  std::set<void*> running;  // events the device has not reached
  int live_events = 0;
  int synchronized = 0;
  int allocations = 0;
  bool fail_events = false;
  bool capturing = false;
  char* next = reinterpret_cast<char*>(uintptr_t{1} << 40);

  void hold(size_t bytes) {
    held += bytes;
    if (held > peak_held) peak_held = held;
  }
};

class FakeBackend final : public torch_npu::memory::DeviceBackend {
 public:
  explicit FakeBackend(FakeDevice& device) : d_(device) {}

  void* allocate(size_t bytes) override {
    ++d_.allocations;
    if (bytes > d_.total - d_.held) return nullptr;
    d_.hold(bytes);
    return place(d_.segments, bytes);
  }
  void release(void* data) override {
    const auto at = d_.segments.find(static_cast<char*>(data));
    CHECK(at != d_.segments.end());
    CHECK(d_.running.empty());  // nothing may be given back while the device may use it
    d_.held -= at->second;
    d_.segments.erase(at);
  }
  std::pair<size_t, size_t> memory_info() override { return {d_.total - d_.held, d_.total}; }
  void synchronize() override {
    ++d_.synchronized;
    d_.running.clear();
  }
  bool capturing() override { return d_.capturing; }

  void* record_event(c10::Stream) override {
    if (d_.fail_events) throw std::runtime_error("no event");
    ++d_.live_events;
    void* event = new char;
    d_.running.insert(event);
    return event;
  }
  bool event_done(void* event) override { return d_.running.count(event) == 0; }
  void wait_event(void* event) override { d_.running.erase(event); }
  void recycle_event(void* event) noexcept override {
    CHECK(d_.running.count(event) == 0);
    --d_.live_events;
    delete static_cast<char*>(event);
  }

  void* reserve_address(size_t bytes) override { return place(d_.reserved, bytes); }
  void release_address(void* address) noexcept override {
    const auto at = d_.reserved.find(static_cast<char*>(address));
    CHECK(at != d_.reserved.end());
    const auto inside = d_.mapped.lower_bound(at->first);
    CHECK(inside == d_.mapped.end() || inside->first >= at->first + at->second);
    d_.reserved.erase(at);
  }
  void* map(void* address, size_t bytes) override {
    if (d_.kept >= bytes) {
      d_.kept -= bytes;
    } else {
      if (bytes > d_.total - d_.held) return nullptr;
      d_.hold(bytes);
    }
    CHECK(d_.mapped.emplace(static_cast<char*>(address), bytes).second);
    return address;
  }
  void unmap(void* address, void* handle, bool keep) override {
    const auto at = d_.mapped.find(static_cast<char*>(address));
    CHECK(address == handle && at != d_.mapped.end());
    CHECK(d_.running.empty());
    if (at == d_.mapped.end()) return;
    if (keep) d_.kept += at->second;
    else d_.held -= at->second;
    d_.mapped.erase(at);
  }
  void release_kept() noexcept override { d_.held -= std::exchange(d_.kept, 0); }

 private:
  void* place(std::map<char*, size_t>& where, size_t bytes) {
    char* data = d_.next;
    d_.next += (bytes + (4u << 20)) & ~((size_t{2} << 20) - 1);
    where.emplace(data, bytes);
    return data;
  }

  FakeDevice& d_;
};
