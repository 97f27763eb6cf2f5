// Does a CANN do what its aclnn functions are documented to do? Each function of the case file is called
//
//   call    with every case as it is: contiguous tensors, results compared with the case's
//   views   with all tensors in memory with gaps, transposed, and at an offset: same results, and no byte outside of them changes
//   null    with each argument in turn null: 161001 for what is required, success for what is optional
//   shape   with each output, then each input, one element larger: 161002 for outputs and for at least one tensor
//   dtype   with each tensor in turn of a data type that is not documented: 161002
//
// and after each refusal there is a message and the function still computes. The program knows nothing but CANN's headers.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <set>

#include "acl/acl.h"
#include "aclnn/acl_meta.h"
#include "case_file.h"
#include "numbers.h"

namespace abi {
namespace {

constexpr int kParamNull = 161001, kParamInvalid = 161002;

union Value {
  const void* pointer;
  int64_t integer;
  double real;
};

struct Invoker {
  const char* passed;
  aclnnStatus (*call)(void* function, const Value* values, uint64_t* size, aclOpExecutor** executor);
};

#include "invokers.inc"

using Phase2 = aclnnStatus (*)(void* workspace, uint64_t size, aclOpExecutor* executor, aclrtStream stream);

[[noreturn]] void die(const std::string& sentence) {
  std::cerr << "conformance: " << sentence << '\n';
  std::exit(2);
}

// What is under way, for the last words of a process that a function brings down.
char doing[200];

void last_words(int) {
  const char text[] = "conformance: the process died in ";
  if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 || write(STDERR_FILENO, doing, std::strlen(doing)) < 0 || write(STDERR_FILENO, "\n", 1) < 0) {
  }
  _exit(3);
}

std::string message() {
  const char* text = aclGetRecentErrMsg();
  return text == nullptr ? "" : text;
}

void must(int code, const char* what) {
  if (code != 0) die(std::string(what) + " answered " + std::to_string(code) + ": " + message());
}

enum class Layout { kPlain, kOffset, kGaps };

// Where a tensor of the call lies in the device memory that all tensors share.
struct Placed {
  const Tensor* tensor;
  int32_t type;
  std::vector<int64_t> sizes, strides;
  int64_t offset, storage;  // elements
  size_t begin;             // byte of the arena
  aclTensor* handle = nullptr;
  std::string name;

  // The byte of every element, in row-major order.
  std::vector<size_t> elements(const std::vector<int64_t>& shape, const std::vector<int64_t>& steps) const {
    std::vector<size_t> out;
    std::vector<int64_t> index(shape.size(), 0);
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    for (int64_t k = 0; k < count; ++k) {
      int64_t at = offset;
      for (size_t d = 0; d < shape.size(); ++d) at += index[d] * steps[d];
      out.push_back(begin + static_cast<size_t>(at) * size_of(type));
      for (size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
    }
    return out;
  }
};

std::vector<int64_t> contiguous(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size());
  int64_t step = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    strides[d] = step;
    step *= std::max<int64_t>(sizes[d], 1);
  }
  return strides;
}

// How a call differs from its case.
struct Variant {
  Layout layout = Layout::kPlain;
  int null = -1;                    // parameter
  int parameter = -1, element = 0;  // the tensor with another shape or type
  std::vector<int64_t> sizes;
  bool resized = false;
  int32_t type = -1;
};

class Device {
 public:
  Device() {
    must(aclInit(nullptr), "aclInit");
    must(aclrtSetDevice(0), "aclrtSetDevice");
    must(aclrtCreateStream(&stream_), "aclrtCreateStream");
    must(aclrtMalloc(&arena_, kArena, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  }
  ~Device() {
    aclrtFree(arena_);
    aclrtDestroyStream(stream_);
    aclrtResetDevice(0);
    aclFinalize();
  }
  Device(const Device&) = delete;

  static constexpr size_t kArena = 32 << 20;
  aclrtStream stream_ = nullptr;
  void* arena_ = nullptr;
};

class Call {
 public:
  Call(Device& device, const Function& function, const Case& with, const Variant& variant)
      : device_(device), function_(function), case_(with), variant_(variant) {
    place();
    must(aclrtMemcpy(device_.arena_, image_.size(), image_.data(), image_.size(), ACL_MEMCPY_HOST_TO_DEVICE), "aclrtMemcpy");
    for (size_t i = 0; i < function_.parameters.size(); ++i) convert(i);
  }
  Call(const Call&) = delete;
  ~Call() {
    for (auto& destroy : destroy_) destroy();
  }

  int phase1(uint64_t** size_at = nullptr, bool null_executor = false) {
    void* entry = dlsym(RTLD_DEFAULT, (function_.name + "GetWorkspaceSize").c_str());
    if (entry == nullptr) die("there is no " + function_.name + "GetWorkspaceSize");
    std::string passed;
    for (const Parameter& p : function_.parameters) passed += p.is_handle() ? 'p' : p.kind;
    const auto* invoker = std::find_if(std::begin(kInvokers), std::end(kInvokers), [&](const Invoker& i) { return passed == i.passed; });
    if (invoker == std::end(kInvokers)) die("no way to call " + function_.name);
    message();
    return invoker->call(entry, values_.data(), size_at == nullptr ? &workspace_ : *size_at, null_executor ? nullptr : &executor_);
  }

  // Both phases, to the end.
  int run() {
    int code = phase1();
    if (code != 0) return code;
    auto entry = reinterpret_cast<Phase2>(dlsym(RTLD_DEFAULT, function_.name.c_str()));
    if (entry == nullptr) die("there is no " + function_.name);
    void* memory = nullptr;
    if (workspace_ != 0) must(aclrtMalloc(&memory, workspace_, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    code = entry(memory, workspace_, executor_, device_.stream_);
    executor_ = nullptr;
    const int later = aclrtSynchronizeStream(device_.stream_);
    if (memory != nullptr) aclrtFree(memory);
    return code != 0 ? code : later;
  }

  // Gives up what phase 1 made.
  void abandon() {
    if (executor_ == nullptr) return;
    aclSetAclOpExecutorRepeatable(executor_);
    aclDestroyAclOpExecutor(executor_);
    executor_ = nullptr;
  }

  // "" if the results are the case's and nothing else has changed. `drawn` gets the bytes of random results.
  std::string compare(double factor, std::vector<char>* drawn) {
    std::vector<char> now(image_.size());
    must(aclrtMemcpy(now.data(), now.size(), device_.arena_, now.size(), ACL_MEMCPY_DEVICE_TO_HOST), "aclrtMemcpy");
    for (const Placed& p : placed_) {
      if (p.tensor->role == Role::kIn) continue;
      std::string problem = p.tensor->role == Role::kDrawn ? look_at_random(p, now, drawn) : look_at(p, now, factor);
      if (!problem.empty()) return p.name + ' ' + problem;
    }
    for (const Placed& p : placed_) {
      for (size_t i = p.begin; i < p.begin + static_cast<size_t>(p.storage) * size_of(p.type); ++i) {
        if (image_[i] != now[i]) return "byte " + std::to_string(i - p.begin) + " of " + p.name + "'s memory is no result and has changed";
      }
    }
    if (image_ != now) return "bytes between the tensors have changed";
    return "";
  }

 private:
  const Argument& argument(size_t i) const { return case_.arguments[i]; }
  bool is_null(size_t i) const { return !argument(i).given || variant_.null == static_cast<int>(i); }

  void place() {
    size_t end = 256;
    for (size_t i = 0; i < function_.parameters.size(); ++i) {
      if (!function_.parameters[i].has_tensors() || is_null(i)) continue;
      for (size_t k = 0; k < argument(i).tensors.size(); ++k) {
        const Tensor& tensor = argument(i).tensors[k];
        Placed p;
        p.tensor = &tensor;
        p.name = function_.parameters[i].name + (function_.parameters[i].kind == 'L' ? '[' + std::to_string(k) + ']' : "");
        const bool other = variant_.parameter == static_cast<int>(i) && variant_.element == static_cast<int>(k);
        p.type = other && variant_.type >= 0 ? variant_.type : tensor.held.type;
        p.sizes = other && variant_.resized ? variant_.sizes : tensor.held.sizes;
        p.strides = contiguous(p.sizes);
        p.offset = 0;
        if (variant_.layout != Layout::kPlain) p.offset = 5;
        if (variant_.layout == Layout::kGaps && tensor.role != Role::kSpace) {
          int64_t step = 2;
          for (size_t d = 0; d < p.sizes.size(); ++d) {
            p.strides[d] = step;
            step = step * std::max<int64_t>(p.sizes[d], 1) + 1;
          }
        }
        int64_t last = 0, count = 1;
        for (size_t d = 0; d < p.sizes.size(); ++d) {
          last += (p.sizes[d] - 1) * p.strides[d];
          count *= p.sizes[d];
        }
        p.storage = p.offset + (count == 0 ? 0 : last + 1);
        p.begin = end;
        const size_t bytes = static_cast<size_t>(p.storage) * size_of(p.type);
        end = (p.begin + bytes + 64 + 511) / 512 * 512;
        if (end > Device::kArena) die(function_.name + ": the tensors of a case are larger than the arena");
        image_.resize(end, static_cast<char>(0xA5));
        if (!tensor.held.bytes.empty() && p.sizes == tensor.held.sizes && p.type == tensor.held.type) {
          const auto where = p.elements(p.sizes, p.strides);
          const size_t size = size_of(p.type);
          for (size_t e = 0; e < where.size(); ++e) std::memcpy(&image_[where[e]], &tensor.held.bytes[e * size], size);
        }
        placed_.push_back(std::move(p));
      }
    }
    if (image_.empty()) image_.resize(end, static_cast<char>(0xA5));
  }

  aclTensor* create(Placed& p) {
    p.handle = aclCreateTensor(p.sizes.data(), p.sizes.size(), static_cast<aclDataType>(p.type), p.strides.data(), p.offset, ACL_FORMAT_ND,
                               &p.storage, 1, static_cast<char*>(device_.arena_) + p.begin);
    if (p.handle == nullptr) die("aclCreateTensor gives no " + p.name + " for " + function_.name + ": " + message());
    return p.handle;
  }

  static aclScalar* create(const ScalarValue& s) {
    ScalarValue copy = s;
    aclScalar* scalar = aclCreateScalar(copy.value, static_cast<aclDataType>(copy.type));
    if (scalar == nullptr) die("aclCreateScalar: " + message());
    return scalar;
  }

  template <class T, class D>
  const void* owned(const T* handle, D destroy) {
    destroy_.push_back([handle, destroy] { must(destroy(handle), "destroying an argument"); });
    return handle;
  }

  void convert(size_t i) {
    const Argument& a = argument(i);
    Value value{};
    const bool null = is_null(i);
    switch (function_.parameters[i].kind) {
      case 'T':
        if (!null) value.pointer = owned(create(placed_[next_++]), aclDestroyTensor);
        break;
      case 'L': {
        if (null) break;
        std::vector<aclTensor*> handles;
        for (size_t k = 0; k < a.tensors.size(); ++k) handles.push_back(create(placed_[next_++]));
        value.pointer = owned(aclCreateTensorList(handles.data(), handles.size()), aclDestroyTensorList);
        break;
      }
      case 'S':
        if (!null) value.pointer = owned(create(a.scalars[0]), aclDestroyScalar);
        break;
      case 'Z': {
        if (null) break;
        std::vector<aclScalar*> handles;
        for (const ScalarValue& s : a.scalars) handles.push_back(create(s));
        value.pointer = owned(aclCreateScalarList(handles.data(), handles.size()), aclDestroyScalarList);
        break;
      }
      case 'I':
        if (!null) value.pointer = owned(aclCreateIntArray(a.integers.data(), a.integers.size()), aclDestroyIntArray);
        break;
      case 'B':
        if (!null) value.pointer = owned(aclCreateBoolArray(reinterpret_cast<const bool*>(a.bools.data()), a.bools.size()), aclDestroyBoolArray);
        break;
      case 'F':
        if (!null) value.pointer = owned(aclCreateFloatArray(a.floats.data(), a.floats.size()), aclDestroyFloatArray);
        break;
      case 's':
        if (!null) value.pointer = a.text.c_str();
        break;
      case 'd':
      case 'f': value.real = a.real; break;
      default: value.integer = a.integer; break;
    }
    values_.push_back(value);
  }

  std::string look_at(const Placed& p, const std::vector<char>& now, double factor) {
    const Data& expected = p.tensor->expected;
    std::vector<int64_t> sizes = p.sizes, strides = p.strides;
    if (p.tensor->role == Role::kSpace) {
      int64_t* dims = nullptr;
      uint64_t count = 0;
      must(aclGetViewShape(p.handle, &dims, &count), "aclGetViewShape");
      sizes.assign(dims, dims + count);
      delete[] dims;
      strides = contiguous(sizes);
    }
    if (sizes != expected.sizes) {
      std::string text = "has shape [";
      for (int64_t size : sizes) text += ' ' + std::to_string(size);
      text += " ], expected [";
      for (int64_t size : expected.sizes) text += ' ' + std::to_string(size);
      return text + " ]";
    }
    if (p.type != expected.type) return "has another data type than the expected result";
    const size_t size = size_of(p.type);
    const auto where = p.elements(sizes, strides);
    for (size_t e = 0; e < where.size(); ++e) {
      const char *got = &now[where[e]], *want = &expected.bytes[e * size];
      const auto x = number(got, p.type), y = number(want, p.type);
      const bool fine = is_rounded(p.type) ? is_close(x, y, p.type, case_.tolerance, factor) : std::memcmp(got, want, size) == 0;
      if (!fine) {
        char text[200];
        std::snprintf(text, sizeof(text), "element %zu is %.9g%+.9gi, expected %.9g%+.9gi", e, x.real(), x.imag(), y.real(), y.imag());
        return text;
      }
      std::memcpy(&image_[where[e]], got, size);
    }
    if (p.tensor->role == Role::kSpace) {  // the rest of the space may hold anything
      const size_t bytes = static_cast<size_t>(p.storage) * size;
      std::memcpy(&image_[p.begin], &now[p.begin], bytes);
    }
    return "";
  }

  std::string look_at_random(const Placed& p, const std::vector<char>& now, std::vector<char>* drawn) {
    const Tensor& t = *p.tensor;
    const size_t size = size_of(p.type);
    double sum = 0;
    const auto where = p.elements(p.sizes, p.strides);
    for (size_t at : where) {
      const double x = number(&now[at], p.type).real();
      if (!(x >= t.low && x <= t.high)) return "holds " + std::to_string(x) + ", outside of " + std::to_string(t.low) + " to " + std::to_string(t.high);
      sum += x;
      drawn->insert(drawn->end(), &now[at], &now[at] + size);
      std::memcpy(&image_[at], &now[at], size);
    }
    const double mean = sum / static_cast<double>(where.size());
    if (std::abs(mean - t.mean) > t.tolerance) return "has the mean " + std::to_string(mean) + ", expected " + std::to_string(t.mean);
    return "";
  }

  Device& device_;
  const Function& function_;
  const Case& case_;
  const Variant& variant_;
  std::vector<Placed> placed_;
  std::vector<char> image_;  // of the used part of the arena
  std::vector<Value> values_;
  std::vector<std::function<void()>> destroy_;
  size_t next_ = 0;
  uint64_t workspace_ = 0;
  aclOpExecutor* executor_ = nullptr;
};

constexpr const char* kChecks[] = {"call", "views", "null", "shape", "dtype"};

// What came out for one function: checks made and failed, by kind.
struct Outcome {
  int made[5] = {}, failed[5] = {};
};

class Suite {
 public:
  Suite(Device& device, double factor) : device_(device), factor_(factor) {}

  int failures = 0, checks = 0, excepted = 0;
  std::map<std::string, Outcome> outcomes;

  void run(const Function& f) {
    function_ = &f;
    now("call");
    used_.clear();
    if (f.cases.empty()) {
      report(0, "call", "there is no case for it in tests/python/softcann_cases.py");
      return;
    }
    for (size_t i = 0; i < f.cases.size(); ++i) {
      compute(0, f.cases[i], "call", i, Layout::kPlain);
      compute(1, f.cases[i], "views", i, Layout::kOffset);
      compute(1, f.cases[i], "views", i, Layout::kGaps);
    }
    nulls(f, f.cases[0]);
    shapes(f, f.cases[0]);
    types(f, f.cases[0]);
    for (const auto& [check, reason] : f.exceptions) {
      if (!used_.count(check)) report(0, "stale " + check, "the exception \"" + reason + "\" does not apply: the check passes");
    }
  }

 private:
  // A failed check, unless it is an exception.
  void report(int kind, const std::string& check, const std::string& problem) {
    if (function_->exceptions.count(check)) {
      used_.insert(check);
      ++excepted;
      return;
    }
    ++failures;
    ++outcomes[function_->name].failed[kind];
    std::cout << function_->name << ": " << check << ": " << problem << '\n';
  }

  void now(const std::string& check) const { std::snprintf(doing, sizeof(doing), "%s: %s", function_->name.c_str(), check.c_str()); }

  void made(int kind, const std::string& check) {
    now(check);
    ++checks;
    ++outcomes[function_->name].made[kind];
  }

  static std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text.substr(0, 300);
  }

  std::string attempt(const Case& c, const Variant& variant, std::vector<char>* drawn) {
    Call call(device_, *function_, c, variant);
    const int code = call.run();
    if (code != 0) return std::to_string(code) + ": " + one_line(message());
    return call.compare(factor_, drawn);
  }

  void compute(int kind, const Case& c, const char* check, size_t index, Layout layout) {
    made(kind, check);
    Variant variant;
    variant.layout = layout;
    std::vector<char> first, second;
    std::string problem = attempt(c, variant, &first);
    if (problem.empty() && !first.empty()) {
      problem = attempt(c, variant, &second);
      if (problem.empty() && first != second) problem = "gives other random numbers for the same seed and offset";
    }
    const char* names[] = {"contiguous", "at an offset", "transposed with gaps"};
    if (!problem.empty()) report(kind, check, "case " + std::to_string(index) + ", " + names[static_cast<int>(layout)] + ": " + problem);
  }

  // The call must be refused with `code` and a message, and leave a working device.
  void refused(int kind, const std::string& check, int code, int expected, const Case& c) {
    if (code != expected) {
      report(kind, check, "answers " + std::to_string(code) + " instead of " + std::to_string(expected) + ' ' + one_line(message()));
    } else if (message().empty()) {
      report(kind, check, "is refused with " + std::to_string(code) + " but no message");
    }
    still_works(kind, check, c);
  }

  void still_works(int kind, const std::string& check, const Case& c) {
    std::vector<char> drawn;
    const std::string problem = attempt(c, Variant(), &drawn);
    if (!problem.empty() && !function_->exceptions.count("call")) report(kind, check, "the function does not compute any more: " + problem);
  }

  void nulls(const Function& f, const Case& c) {
    for (size_t i = 0; i < f.parameters.size(); ++i) {
      const Parameter& p = f.parameters[i];
      if (!p.is_handle() || !c.arguments[i].given) continue;
      const std::string check = "null " + p.name;
      made(2, check);
      Variant variant;
      variant.null = static_cast<int>(i);
      Call call(device_, f, c, variant);
      if (p.optional) {
        const int code = call.run();
        if (code != 0) report(2, check, "is optional, but null gives " + std::to_string(code) + ": " + one_line(message()));
        still_works(2, check, c);
        continue;
      }
      const int code = call.phase1();
      refused(2, check, code, kParamNull, c);
      call.abandon();
    }
    made(2, "null workspaceSize");
    Variant plain;
    Call call(device_, f, c, plain);
    uint64_t* nowhere = nullptr;
    refused(2, "null workspaceSize", call.phase1(&nowhere), kParamNull, c);
    call.abandon();
    refused(2, "null executor", call.phase1(nullptr, true), kParamNull, c);
  }

  void shapes(const Function& f, const Case& c) {
    int tensors = 0;
    bool any = false;
    for (size_t i = 0; i < f.parameters.size(); ++i) {
      for (size_t k = 0; k < c.arguments[i].tensors.size(); ++k) {
        const Tensor& t = c.arguments[i].tensors[k];
        ++tensors;
        if (t.role == Role::kSpace) continue;
        const bool output = t.role == Role::kOut || (t.role == Role::kDrawn && f.parameters[i].direction == Direction::kOut);
        Variant variant;
        variant.parameter = static_cast<int>(i);
        variant.element = static_cast<int>(k);
        variant.resized = true;
        variant.sizes = t.held.sizes;
        if (variant.sizes.empty()) variant.sizes.push_back(1);
        ++variant.sizes.back();
        const std::string check = "shape " + f.parameters[i].name;
        made(3, check);
        Call call(device_, f, c, variant);
        const int code = call.phase1();
        any = any || code == kParamInvalid;
        if (output || code != 0) {
          refused(3, check, code, kParamInvalid, c);
        }
        call.abandon();
      }
    }
    if (!any && tensors > 1) report(3, "shape", "no tensor of another shape is refused with 161002");
  }

  void types(const Function& f, const Case& c) {
    constexpr int32_t kCandidates[] = {ACL_COMPLEX128, ACL_UINT64, ACL_UINT16, ACL_INT4, ACL_UINT1};
    for (size_t i = 0; i < f.parameters.size(); ++i) {
      const Parameter& p = f.parameters[i];
      if (!p.has_tensors() || !c.arguments[i].given || c.arguments[i].tensors.empty()) continue;
      Variant variant;
      variant.parameter = static_cast<int>(i);
      variant.type = ACL_UINT1;
      for (int32_t type : kCandidates) {
        if (p.types != 0 && (p.types >> type & 1) == 0) {
          variant.type = type;
          break;
        }
      }
      const std::string check = "dtype " + p.name;
      made(4, check);
      Call call(device_, f, c, variant);
      refused(4, check, call.phase1(), kParamInvalid, c);
      call.abandon();
    }
  }

  Device& device_;
  double factor_;
  const Function* function_ = nullptr;
  std::set<std::string> used_;
};

int main(int argc, char** argv) {
  std::string path, only, from;
  double factor = 1;
  bool table = false;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--table") {
      table = true;
    } else if (a == "--loose" && i + 1 < argc) {
      factor = std::atof(argv[++i]);
    } else if (a == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else if (a == "--from" && i + 1 < argc) {
      from = argv[++i];
    } else if (path.empty() && a[0] != '-') {
      path = a;
    } else {
      die("usage: conformance CASES [--only aclnnAdd] [--from aclnnAdd] [--loose FACTOR] [--table]");
    }
  }
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL}) std::signal(signal, last_words);
  Device device;
  Suite suite(device, factor);
  int functions = 0;
  for (const Function& f : Reader(path).functions()) {
    if ((!only.empty() && f.name != only) || f.name < from) continue;
    ++functions;
    suite.run(f);
  }
  if (table) {
    std::printf("%-50s", "function");
    for (const char* check : kChecks) std::printf("%9s", check);
    std::printf("\n");
    for (const auto& [name, outcome] : suite.outcomes) {
      std::printf("%-50s", name.c_str());
      for (int k = 0; k < 5; ++k) std::printf("%5d/%-3d", outcome.made[k] - std::min(outcome.made[k], outcome.failed[k]), outcome.made[k]);
      std::printf("\n");
    }
  }
  std::printf("%d functions, %d checks, %d failed, %d exceptions\n", functions, suite.checks, suite.failures, suite.excepted);
  return suite.failures == 0 && functions != 0 ? 0 : 1;
}

}  // namespace
}  // namespace abi

int main(int argc, char** argv) {
  try {
    return abi::main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "conformance: " << error.what() << '\n';
    return 2;
  }
}
