// What libascendcl.so offers the other softcann libraries (nnopbase, opapi, hccl): C++ functions, not part of CANN's ABI.
#pragma once

#include <cstddef>
#include <cstdint>

#include "acl/acl.h"

namespace softcann::runtime {

// Device addresses handed to clients are PROT_NONE; the same pages are writable at a constant distance. Returns the
// writable alias of [address, address + bytes) if that range lies inside one live allocation (device, pinned host or
// mapped virtual memory) that `device` may use, else nullptr after fail() with CANN's code and a sentence that says which
// rule was broken (freed, foreign, out of bounds, other device without peer access). Takes no lock; an empty range is
// always fine.
[[gnu::visibility("default")]] void* resolve(const void* address, size_t bytes, int device, const char* user);

// Work for a stream. `run` is called once on the stream's own thread, in order; a non-zero return is an ACL error code
// that becomes the stream's pending error (its message is what `run` left with fail()). `drop` frees `state` and is called
// exactly once, after run, or instead of it when the stream is aborted or stopped by an earlier failure. `name` is a
// string literal or outlives the task.
struct Task {
  int (*run)(void* state);
  void (*drop)(void* state);
  void* state;
  const char* name;
};

// Appends to `stream` (nullptr = default stream of the current context). Returns an ACL code; on error the task was dropped.
[[gnu::visibility("default")]] int enqueue(aclrtStream stream, const Task& task);

// Device a stream belongs to (nullptr = default stream of the current context), or -1 after fail().
[[gnu::visibility("default")]] int device_of(aclrtStream stream);

// For tasks that block (collectives): true once the stream they run on was aborted, so that they give up. Only on a
// stream's own thread.
[[gnu::visibility("default")]] bool task_aborted();

// True on the thread of a stream, where waiting for that stream would never end.
[[gnu::visibility("default")]] bool on_stream_thread();

}  // namespace softcann::runtime
