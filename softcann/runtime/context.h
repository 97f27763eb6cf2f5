// Devices, contexts and which context a thread works in.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "acl/acl.h"
#include "softcann/core/error.h"
#include "softcann/runtime/config.h"
#include "softcann/runtime/slots.h"

namespace softcann::runtime {

class Stream;

struct Context : SlotObject {
  int device = 0;
  bool primary = false;                 // made by aclrtSetDevice, shared by all threads of the process
  Stream* default_stream = nullptr;
  std::atomic<uint32_t> generation{0};  // how often this object was destroyed
};

// What exists on one device. Guarded by lifecycle_mutex() but for `peers`.
struct Device {
  Context* primary = nullptr;
  unsigned users = 0;                   // threads that set the device and did not reset it
  uint64_t epoch = 1;                   // how often it was reset, from 1
  bool resetting = false;
  std::vector<Context*> contexts;
  std::vector<Stream*> streams;
  std::atomic<uint64_t> peers{0};       // bit p: kernels of this device may use memory of device p
};

std::mutex& lifecycle_mutex();
Device& device_state(int device);
std::vector<Stream*> streams_of(int device);

// Each answers 0, or a code after fail().
int check_device(int device, const char* function);
int check_fork(const char* function);                            // in a process forked from one that had used a device
int require_context(const char* function, Context** context);    // the calling thread's

Context* current_context();         // nullptr if the thread has none
void set_current_context(Context* context);
Context* live_context(const void* handle);

// With lifecycle_mutex() held: nullptr after fail().
Context* create_context(int device, bool primary, const char* function);
// Ends contexts that no longer are in Device::contexts: streams and events go with them.
void retire_context(Context* context, bool force);

int set_device(int device, const char* function);
int reset_device(int device, bool force, const char* function);

// A process that used a device has worker threads, which a forked child does not.
void note_device_use();
bool in_forked_child();

bool peer_access_enabled(int device, int peer);

}  // namespace softcann::runtime
