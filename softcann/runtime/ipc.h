// What processes of one user share: memory, events and notifies. The exporter writes a record into the first pages of its
// memory file; the importer opens that file through /proc/<pid>/fd.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "softcann/runtime/stream.h"

namespace softcann::runtime {

struct Event;

// A number that only grows (events), or a flag (notifies), seen by all processes that map it.
struct alignas(64) SharedCounter {
  uint64_t begin() { return begun_.fetch_add(1, std::memory_order_acq_rel) + 1; }
  uint64_t begun() const { return begun_.load(std::memory_order_acquire); }
  uint64_t completed() const { return completed_.load(std::memory_order_acquire); }
  void complete(uint64_t number);
  // False at the deadline; true also when `give_up` says so.
  bool wait(uint64_t number, Deadline deadline, bool (*give_up)());

  void raise();
  void lower() { completed_.store(0, std::memory_order_release); }
  bool wait_and_lower(Deadline deadline, bool (*give_up)());

 private:
  void wake();
  bool sleep(uint32_t seen, Deadline deadline);
  std::atomic<uint64_t> begun_, completed_;
  std::atomic<uint32_t> changes_, sleepers_;
};

enum class Shared : uint32_t { none, memory, physical, event, notify };

struct ExportRecord {
  std::atomic<Shared> what;
  uint32_t nonce;
  uint64_t file_offset, size;  // of memory; of counters, `size` is 0
  int32_t device;
  uint32_t any_process;        // no aclrt...SetImportPid needed
  std::atomic<uint32_t> pid_count;
  int32_t pids[18];
};

// Where an exported thing is, as text ("sc:pid:fd:index:nonce"), which is what keys and handles hold.
struct ShareKey {
  int pid = 0, fd = 0;
  uint32_t index = 0, nonce = 0;

  std::string text() const;
  static bool parse(const char* text, ShareKey* key);
  uint64_t packed() const;
  static ShareKey unpack(uint64_t packed);
};

// Each answers 0, or a code after fail().
int export_record(const char* function, Shared what, uint64_t file_offset, size_t size, int device, bool any_process, ShareKey* key);
void withdraw_record(const ShareKey& key);
// The exporter's own record, or nullptr after fail().
ExportRecord* own_record(const char* function, const ShareKey& key);
int allow_pids(const char* function, const ShareKey& key, const int32_t* pids, size_t count);
// Opens another process's file and finds a record in it. `fd` is the caller's; `control` stays mapped if wanted.
int open_record(const char* function, const ShareKey& key, Shared what, int* fd, ExportRecord* copy, char** control);

int take_counter(const char* function, SharedCounter** counter, uint64_t* file_offset);
void give_counter(uint64_t file_offset);
// The counter of a record, mapped from its process.
int open_counter(const char* function, const ShareKey& key, Shared what, SharedCounter** counter, char** control);
void close_control(char* control);

// Writes a key into a client's buffer.
int write_key(const char* function, const ShareKey& key, char* buffer, size_t length);

// Keys of memory that is freed end with it.
void withdraw_memory(uint64_t file_offset, size_t size);

int share_event(const char* function, Event* event);
void release_shared_event(Event* event);

}  // namespace softcann::runtime
