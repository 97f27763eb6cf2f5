// Tells an observer what orders streams: for the stream sanitizer. Only what programs ask for through torch is told, not what the
// allocators do for themselves, so the observer may take the GIL.
#pragma once

#include <c10/core/Stream.h>

#include <atomic>

#include "cann/export.h"

namespace torch_npu {

enum class Ordering {
  record,              // `event` stands behind what `stream` was given so far
  wait,                // what `stream` is given from now on stands behind `event`
  synchronize_event,   // the host, and all that it gives to streams from now on, stands behind ...
  synchronize_stream,
  synchronize_device,
};

using OrderingObserver = void (*)(Ordering what, const void* event, c10::Stream stream);

TORCH_NPU_API std::atomic<OrderingObserver>& ordering_observer() noexcept;

inline void tell_ordering(Ordering what, const void* event, c10::Stream stream) {
  if (const OrderingObserver observer = ordering_observer().load(std::memory_order_relaxed); C10_UNLIKELY(observer != nullptr)) observer(what, event, stream);
}

}  // namespace torch_npu
