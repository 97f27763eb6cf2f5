// Host code that touches device memory would work on no card: it ends the process, with a sentence about what it touched.
#pragma once

namespace softcann::runtime {

// Once, when the first memory is reserved. Faults elsewhere go to the handler that was there before.
void install_fault_handler();

// A stack for the handler on the calling thread, if the thread has none.
void install_alternate_stack();

}  // namespace softcann::runtime
