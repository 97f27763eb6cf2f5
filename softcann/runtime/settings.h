// Settings that other parts of the runtime look at.
#pragma once

#include <cstdint>

namespace softcann::runtime {

// Milliseconds that a stream waits for an event, -1 = for ever (aclrtSetOpWaitTimeout).
int64_t event_wait_timeout_ms();

}  // namespace softcann::runtime
