// Functions of the host in a stream's order: CANN hands them to a thread that is subscribed for the stream.
#pragma once

#include <c10/core/Stream.h>

#include "cann/export.h"

namespace torch_npu {

// Starts a thread that runs the host functions of `stream`, one per stream; ends it, when the stream is through with them.
TORCH_NPU_API void subscribe_report(c10::Stream stream);
TORCH_NPU_API void unsubscribe_report(c10::Stream stream);
// Waits for subscribed streams, for 10 seconds each, and ends their threads.
TORCH_NPU_API void unsubscribe_all_reports() noexcept;

// `function(argument)` runs on that thread after what `stream` was given so far; what it is given later waits. Raises, without having
// taken `argument`, where no thread is subscribed.
TORCH_NPU_API void launch_host_function(c10::Stream stream, void (*function)(void*), void* argument);

}  // namespace torch_npu
