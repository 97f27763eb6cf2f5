#include "softcann/runtime/fault_handler.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "softcann/runtime/memory_arena.h"

namespace softcann::runtime {
namespace {

constexpr size_t kStackSize = 64 << 10;

struct sigaction previous[NSIG];

// Text in a fixed buffer: nothing else is safe inside a signal handler.
class Text {
 public:
  Text& operator<<(const char* text) {
    const size_t n = std::min(strlen(text), sizeof(buffer_) - size_);
    memcpy(buffer_ + size_, text, n);
    size_ += n;
    return *this;
  }
  Text& number(uint64_t value, unsigned base) {
    char digits[24];
    char* p = digits + sizeof(digits);
    *--p = '\0';
    do {
      *--p = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    return *this << p;
  }
  Text& decimal(uint64_t value) { return number(value, 10); }
  Text& address(uintptr_t value) { return (*this << "0x").number(value, 16); }
  void print() const {
    for (size_t done = 0; done < size_;) {
      const ssize_t n = write(STDERR_FILENO, buffer_ + done, size_ - done);
      if (n <= 0) return;
      done += static_cast<size_t>(n);
    }
  }

 private:
  char buffer_[1536];
  size_t size_ = 0;
};

void describe(Text& text, const MemoryArena& arena, uintptr_t at) {
  const auto* address = reinterpret_cast<const void*>(at);
  const auto place = [&](uintptr_t base, size_t size, int device) {
    text << " base ";
    text.address(base) << ", size ";
    text.decimal(size) << " bytes, offset ";
    text.decimal(at - base) << ", ";
    if (device < 0) text << "pinned host memory";
    else (text << "device ").decimal(static_cast<uint64_t>(device));
  };
  if (const Allocation* a = arena.find(address)) {
    text << "  allocation:";
    place(a->base.load(std::memory_order_relaxed), a->size.load(std::memory_order_relaxed), a->device.load(std::memory_order_relaxed));
  } else if (const FreedAllocation* freed = arena.find_freed(address)) {
    text << "  freed allocation:";
    place(freed->base.load(std::memory_order_relaxed), freed->size.load(std::memory_order_relaxed),
          freed->device.load(std::memory_order_relaxed));
  } else {
    text << "  in no allocation: it is past the end of one, or was never given out";
  }
  text << "\n";
}

void explain(int signal, siginfo_t* info, void* context) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  const MemoryArena* arena = MemoryArena::existing();
  if (arena != nullptr && info->si_code > 0) {  // from the kernel, so that si_addr means something
    Text text;
    if (arena->owns(info->si_addr)) {
      const bool device_memory = arena->is_device_address(info->si_addr);
      (text << "softcann: host code touched " << (device_memory ? "device memory" : "pinned host memory that is not allocated") << " at ")
          .address(at) << ".\n";
      describe(text, *arena, at);
      if (device_memory) {
        text << "  The host cannot read or write device memory. Copy it: aclrtMemcpy(host, size, device, size, ACL_MEMCPY_DEVICE_TO_HOST) in C++, "
                "tensor.cpu() in Python.\n";
      }
      text.print();
    } else if (arena->owns_alias(info->si_addr) && signal == SIGBUS) {
      text << "softcann: the machine has no memory left for the contents of device memory (writing to ";
      text.address(at) << "). Use smaller tensors or fewer processes; SOFTCANN_MEMORY limits a device.\n";
      text.print();
    }
  }
  const struct sigaction& before = previous[signal];
  const bool standard = (before.sa_flags & SA_SIGINFO) == 0 && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN);
  if (!standard) {
    // Python's faulthandler, for one, adds the Python stack and dies; a handler that repairs the fault may also return.
    if (before.sa_flags & SA_SIGINFO) {
      before.sa_sigaction(signal, info, context);
    } else {
      before.sa_handler(signal);
    }
    if (arena == nullptr || !(arena->owns(info->si_addr) || arena->owns_alias(info->si_addr))) return;
  }
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  if (info->si_code <= 0) raise(signal);  // sent by a process: it does not happen again by itself
}

}  // namespace

void install_alternate_stack() {
  // Freed with the thread.
  struct Stack {
    void* memory = nullptr;
    ~Stack() {
      if (memory == nullptr) return;
      stack_t off{};
      off.ss_flags = SS_DISABLE;
      sigaltstack(&off, nullptr);
      munmap(memory, kStackSize);
    }
  };
  static thread_local Stack own;
  stack_t current{};
  if (own.memory != nullptr || sigaltstack(nullptr, &current) != 0 || !(current.ss_flags & SS_DISABLE)) return;
  void* memory = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = kStackSize;
  if (sigaltstack(&stack, nullptr) == 0) own.memory = memory;
  else munmap(memory, kStackSize);
}

void install_fault_handler() {
  install_alternate_stack();
  for (const int signal : {SIGSEGV, SIGBUS}) {
    struct sigaction action {};
    action.sa_sigaction = &explain;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, &previous[signal]);
  }
}

}  // namespace softcann::runtime
