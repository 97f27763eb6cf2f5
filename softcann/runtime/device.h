// Devices, contexts and streams: the objects behind CANN's handles.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "acl/acl.h"
#include "softcann/core/error.h"
#include "softcann/runtime/config.h"
#include "softcann/runtime/services.h"

namespace softcann::runtime {

struct Context;

// Work in order, on a thread of its own that starts with the first task. A task that runs is still in flight.
class Stream {
 public:
  Stream(Context* context, uint32_t priority, uint32_t flags);
  ~Stream();

  int enqueue(const Task& task);
  bool idle();
  // Waits until everything given so far has run. timeout < 0: for ever. Answers and clears the pending error.
  int synchronize(int64_t timeout_ms, const char* function);
  void abort();  // drops what has not started, waits for what runs, clears the error

  Context* const context;
  const int device;
  const int32_t id;
  const uint32_t priority, flags;
  uint64_t failure_mode = 0;

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Task> tasks_;
  uint64_t given_ = 0, finished_ = 0;
  bool sleeping_ = false, stop_ = false;
  int error_ = 0;
  std::string error_message_;
  std::thread thread_;
  uint64_t random_;
};

struct Context {
  int device;
  bool primary;
  Stream* default_stream;
};

// All live objects; a handle that is not here is answered with an error code.
class Registry {
 public:
  static Registry& get();

  int set_device(int device, const char* function);
  int reset_device(int device, bool force, const char* function);
  Context* create_context(int device, bool primary);
  int destroy_context(Context* context, const char* function);
  Context* current();              // nullptr if the thread has none
  int current_or_fail(const char* function, Context** context);
  void set_current(Context* context);
  bool live(Context* context);
  bool live(Stream* stream);
  // The stream of a handle (nullptr: the current context's default stream), or nullptr after fail().
  Stream* stream(aclrtStream handle, const char* function, int* status);
  Stream* create_stream(Context* context, uint32_t priority, uint32_t flags);
  int destroy_stream(Stream* stream, bool force, const char* function);
  std::vector<Stream*> streams_of(int device);
  bool active(int device);

  bool peer[64][64] = {};

 private:
  void remove_streams(Context* context);
  std::mutex mutex_;
  std::set<Context*> contexts_;
  std::set<Stream*> streams_;
  Context* primary_[64] = {};
  int users_[64] = {};
};

// 0, or the code for "not a device number" after fail().
int check_device(int device, const char* function);
// 0, or an error in a process forked from one that had used a device.
int check_fork(const char* function);

}  // namespace softcann::runtime
