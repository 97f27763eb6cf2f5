// Host code that touches device memory ends with a message that says what it touched.
#include <csignal>

#include "runtime_test.h"

static char* allocate(size_t size) {
  void* p = nullptr;
  aclrtSetDevice(0);
  aclrtMalloc(&p, size, ACL_MEM_MALLOC_HUGE_FIRST);
  return static_cast<char*>(p);
}

static bool killed_by(const ChildResult& result, int signal) { return WIFSIGNALED(result.status) && WTERMSIG(result.status) == signal; }

static int read_at(const char* p) { return *const_cast<const volatile char*>(p); }

int main() {
  ChildResult result = in_child([] { return read_at(allocate(1000) + 17); });
  CHECK(killed_by(result, SIGSEGV));
  CHECK(contains(result.output, "host code touched device memory at 0x") && contains(result.output, "size 1000 bytes, offset 17, device 0") &&
        contains(result.output, "aclrtMemcpy") && contains(result.output, "tensor.cpu()"));

  result = in_child([] {
    *const_cast<volatile char*>(allocate(1000)) = 1;
    return 0;
  });
  CHECK(killed_by(result, SIGSEGV) && contains(result.output, "offset 0"));

  result = in_child([] {
    char* p = allocate(4096);
    aclrtFree(p);
    return read_at(p + 100);
  });
  CHECK(killed_by(result, SIGSEGV) && contains(result.output, "freed allocation") && contains(result.output, "size 4096 bytes, offset 100"));

  result = in_child([] {
    void* p = nullptr;
    aclrtSetDevice(0);
    aclrtMallocHost(&p, 4096);
    aclrtFreeHost(p);
    return read_at(static_cast<char*>(p));
  });
  CHECK(killed_by(result, SIGSEGV) && contains(result.output, "pinned host memory"));

  // Also from a thread without a stack for signals, and from a host function of a stream.
  result = in_child([] {
    static char* p = allocate(64);
    std::thread([] { read_at(p); }).join();
    return 0;
  });
  CHECK(killed_by(result, SIGSEGV) && contains(result.output, "host code touched device memory"));
  result = in_child([] {
    static char* p = allocate(64);
    aclrtLaunchHostFunc(nullptr, [](void*) { read_at(p); }, nullptr);
    return static_cast<int>(aclrtSynchronizeStream(nullptr));
  });
  CHECK(killed_by(result, SIGSEGV) && contains(result.output, "host code touched device memory"));

  // Other faults are none of softcann's business.
  result = in_child([] {
    allocate(64);
    return read_at(reinterpret_cast<char*>(16));
  });
  CHECK(killed_by(result, SIGSEGV) && result.output.empty());
  result = in_child([] {
    signal(SIGSEGV, [](int) { _exit(42); });
    allocate(64);
    return read_at(reinterpret_cast<char*>(16));
  });
  CHECK(WIFEXITED(result.status) && WEXITSTATUS(result.status) == 42 && result.output.empty());
  result = in_child([] {
    signal(SIGSEGV, [](int) { _exit(42); });
    return read_at(allocate(64));
  });
  CHECK(WIFEXITED(result.status) && WEXITSTATUS(result.status) == 42 && contains(result.output, "host code touched device memory"));
  result = in_child([] {
    allocate(64);
    raise(SIGSEGV);
    return 0;
  });
  CHECK(killed_by(result, SIGSEGV) && result.output.empty());

  // A forked process cannot touch it either.
  result = in_child([] {
    char* p = allocate(64);
    aclrtMemset(p, 64, 1, 64);
    const ChildResult inner = in_child([=] { return read_at(p); });
    return WIFSIGNALED(inner.status) ? 0 : 1;
  });
  CHECK(WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0);
  return check_summary();
}
