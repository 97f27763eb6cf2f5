// What every exported function does first. The generated entries read
//
//     aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
//       softcann::Entry entry("aclrtMalloc", ACL_ERROR_INTERNAL_ERROR);
//       if (entry.watched()) {
//         entry.argument("devPtr", devPtr); ...
//         if (entry.fails()) return entry.returns_status(aclError(entry.code()), "acl");
//       }
//       const auto status = softcann::api::aclrtMalloc(devPtr, size, policy);
//       if (entry.watched() && status == 0) entry.output("devPtr", devPtr);
//       return entry.returns_status(status, "acl");
//     }
//
// Without SOFTCANN_TRACE and SOFTCANN_FAULT this is one load and one predictable branch.
#pragma once

#include <atomic>
#include <string>
#include <type_traits>

#include "softcann/core/fault.h"
#include "softcann/core/trace.h"

namespace softcann {

enum Watch : unsigned { kTrace = 1, kFault = 2 };

[[gnu::visibility("default")]] extern std::atomic<unsigned> watching;

// Turns one kind of watching on or off for the whole process.
[[gnu::visibility("default")]] void watch(Watch what, bool on);

class Entry {
 public:
  // `fault_code` is what an injected fault answers when SOFTCANN_FAULT names no code.
  Entry(const char* function, int fault_code) {
    const unsigned what = watching.load(std::memory_order_relaxed);
    if (__builtin_expect(what != 0, 0)) record_ = begin(function, fault_code, what);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() {
    if (watched()) end(record_);
  }

  // Somebody looks: the log or the faults. Everything below is only called, and only does anything, then.
  bool watched() const { return __builtin_expect(record_ != nullptr, 0); }

  template <class T>
  void argument(const char* name, T value) {
    next(record_->arguments, name);
    describe(record_->arguments, value);
  }

  // After a successful call: what `pointer` was filled with.
  template <class T>
  void output(const char* name, const T* pointer) {
    if (pointer == nullptr) return;
    next(record_->outputs, name);
    describe(record_->outputs, *pointer);
  }

  // True if SOFTCANN_FAULT wants this call to fail, with code().
  bool fails() { return (record_->what & kFault) != 0 && fault::hit(record_->function, &record_->code); }
  int code() const { return record_->code; }

  // Remembers the result for the log and passes it on.
  template <class T>
  T returns(T value) {
    if (watched()) describe(record_->result, value);
    return value;
  }

  // A status: the log gets its name in `family` ("acl", "aclnn", "hccl") and the message that goes with it.
  template <class T>
  T returns_status(T status, const char* family) {
    if (watched()) describe_status(*record_, static_cast<int>(status), family);
    return status;
  }

 private:
  struct Record {
    const char* function;
    int code;
    unsigned what;
    double started;
    std::string arguments;
    std::string outputs;
    std::string result;
  };

  [[gnu::visibility("default")]] static Record* begin(const char* function, int fault_code, unsigned what);
  [[gnu::visibility("default")]] static void end(Record* record);
  [[gnu::visibility("default")]] static void describe_status(Record& record, int status, const char* family);
  [[gnu::visibility("default")]] static void next(std::string& list, const char* name);

  template <class T>
  static void describe(std::string& out, T value) {
    if constexpr (std::is_enum_v<T>) {
      if (const char* name = trace::enumerator(value)) {
        out += name;
      } else {
        trace::append(out, static_cast<long long>(value));
      }
    } else if constexpr (std::is_same_v<T, const char*>) {
      trace::append(out, value);
    } else if constexpr (std::is_same_v<T, bool>) {
      out += value ? "true" : "false";
    } else if constexpr (std::is_floating_point_v<T>) {
      trace::append(out, static_cast<double>(value));
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      trace::append(out, static_cast<long long>(value));
    } else if constexpr (std::is_integral_v<T>) {
      trace::append(out, static_cast<unsigned long long>(value));
    } else if constexpr (std::is_pointer_v<T>) {
      trace::append(out, reinterpret_cast<const void*>(value));
    } else {
      out += "{...}";  // a struct by value
    }
  }

  Record* record_ = nullptr;
};

}  // namespace softcann
