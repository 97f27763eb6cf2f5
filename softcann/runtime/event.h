// The object behind an event handle.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "softcann/runtime/ipc.h"
#include "softcann/runtime/stream.h"

namespace softcann::runtime {

struct Event : SlotObject {
  uint32_t id = 0;
  uint32_t flags = 0;
  Context* context = nullptr;
  std::atomic<uint32_t> references{0};  // the handle, and each record under way
  std::mutex mutex;
  Mark last;                            // the newest record
  uint64_t records = 0;
  int64_t reached_ns = 0;               // 0: not yet, or never
  SharedCounter* shared = nullptr;      // events that processes share
};

// nullptr, with a code after fail().
Event* find_event(const char* function, aclrtEvent handle, int* code);
Event* create_event(const char* function, uint32_t flags, Context* context, int* code);
void release_event(Event* event);
void retire_events_of(Context* context);

}  // namespace softcann::runtime
