// What tests of the runtime share: a stream that stays busy until it is told, and pieces of work in processes of their own.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "acl/acl.h"
#include "check.h"

inline std::string message() { return aclGetRecentErrMsg(); }

inline bool contains(const std::string& text, const char* part) {
  if (text.find(part) != std::string::npos) return true;
  std::fprintf(stderr, "\"%s\" is not in \"%s\"\n", part, text.c_str());
  return false;
}

// Keeps a stream busy from start() until open().
class Gate {
 public:
  aclError start(aclrtStream stream) { return aclrtLaunchHostFunc(stream, &wait, this); }
  void open() { open_ = true; }
  void until_entered() const {
    while (!entered_) std::this_thread::yield();
  }

 private:
  static void wait(void* p) {
    auto* gate = static_cast<Gate*>(p);
    gate->entered_ = true;
    while (!gate->open_) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  std::atomic<bool> entered_{false}, open_{false};
};

struct ChildResult {
  int status;          // of waitpid
  std::string output;  // standard error
};

// Runs f() in a forked process that has not used the device yet; its result is the exit code.
template <class F>
ChildResult in_child(F f) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    _exit(f());
  }
  close(ends[1]);
  ChildResult result{};
  char buffer[512];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;) result.output.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  waitpid(pid, &result.status, 0);
  return result;
}

inline bool passed(const ChildResult& result) {
  if (!result.output.empty()) std::fputs(result.output.c_str(), stderr);
  return WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0;
}

// A child that runs checks: its exit code says whether all held.
template <class F>
bool checks_in_child(F f) {
  return passed(in_child([&] {
    check_failures = 0;
    f();
    return check_summary();
  }));
}
