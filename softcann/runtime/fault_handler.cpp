// Host code that touches device memory would work on no card, so it ends the process here, with a sentence.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "softcann/runtime/arena.h"

namespace softcann::runtime {
namespace {

struct sigaction previous[NSIG];

void explain(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  Arena& arena = Arena::get();
  if (arena.owns(address)) {
    char place[256], text[640];
    arena.describe(address, place, sizeof place);
    const int n = snprintf(text, sizeof text,
                           "softcann: host code touched device memory at 0x%zx, %s.\n"
                           "Device memory is not accessible to the host. Copy it first: aclrtMemcpy(..., ACL_MEMCPY_DEVICE_TO_HOST) "
                           "in C++, tensor.cpu() in Python.\n",
                           address, place);
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text, static_cast<size_t>(n));
  } else if (previous[signal].sa_flags & SA_SIGINFO) {
    return previous[signal].sa_sigaction(signal, info, context);
  } else if (previous[signal].sa_handler != SIG_DFL && previous[signal].sa_handler != SIG_IGN) {
    return previous[signal].sa_handler(signal);
  }
  // Back to the default action: returning runs the access again, and that ends the process.
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
}

}  // namespace

void install_fault_handler() {
  for (const int signal : {SIGSEGV, SIGBUS}) {
    struct sigaction action {};
    action.sa_sigaction = &explain;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, &previous[signal]);
  }
}

}  // namespace softcann::runtime
