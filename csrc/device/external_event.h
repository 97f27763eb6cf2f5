// An event that may be waited for before it is recorded: the wait stands in its stream until a record comes. A word in device memory that
// streams write and wait for.
#pragma once

#include <c10/core/Stream.h>

#include <atomic>

#include "cann/export.h"

namespace torch_npu {

class TORCH_NPU_API ExternalEvent {
 public:
  ExternalEvent();
  ~ExternalEvent();
  ExternalEvent(const ExternalEvent&) = delete;

  // Lets through the wait that was asked for first and has no record yet; without one, the next wait.
  void record(c10::Stream stream);
  // Work given to `stream` from now on waits for a record. Takes it: the next wait needs another.
  void wait(c10::Stream stream);
  // Takes a record that nobody has waited for.
  void reset(c10::Stream stream);

  // Whether the last record has been reached. No record: true.
  bool query() const;
  void synchronize() const;

  c10::DeviceIndex device_index() const noexcept;  // -1 before the first use

  struct Word;

 private:
  Word& word(c10::Stream stream);

  std::atomic<Word*> word_{nullptr};
  std::atomic<bool> recorded_{false};
};

}  // namespace torch_npu
