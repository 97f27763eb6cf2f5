// Device memory: what the parts of the runtime share about it.
#pragma once

namespace softcann::runtime {

// Waits for what is in flight on a device, except on the calling stream's thread for that stream.
void wait_for_device(int device);

}  // namespace softcann::runtime
