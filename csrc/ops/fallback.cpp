// The CPU fallback. Hand-written: it is boxed and stands in for every operator without a row.
#include "ops/fallback.h"

#include <ATen/MemoryOverlap.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "compat/cpu_fallback.h"
#include "launch/launch.h"
#include "launch/queue.h"

namespace torch_npu::ops {
namespace {

enum class Mode { Warn, Error, Silent };

Mode mode() {
  static const Mode m = [] {
    const char* value = std::getenv("TORCH_NPU_FALLBACK");
    const std::string_view v = value == nullptr ? "" : value;
    if (v.empty() || v == "warn") return Mode::Warn;
    if (v == "error") return Mode::Error;
    if (v == "silent") return Mode::Silent;
    TORCH_CHECK_VALUE(false, "TORCH_NPU_FALLBACK is '", v, "'; it takes warn, error or silent");
  }();
  return m;
}

thread_local const char* next_lack = nullptr;
thread_local std::string next_reason;

struct Counts {
  uint64_t calls = 0;
  uint64_t bytes = 0;
  std::string reason;
};

std::mutex counts_mutex;
std::unordered_map<std::string, Counts> counts;

// Calls `f` for every tensor among `values`, also those in lists.
template <class F>
void for_each_tensor(at::ArrayRef<c10::IValue> values, F f) {
  for (const c10::IValue& v : values) {
    if (v.isTensor()) {
      if (v.toTensor().defined()) f(v.toTensor());
    } else if (v.isList()) {
      for (const c10::IValue& e : v.toListRef()) {
        if (e.isTensor() && e.toTensor().defined()) f(e.toTensor());
      }
    }
  }
}

void print(std::ostream& out, const c10::IValue& v) {
  if (v.isTensor()) {
    const at::Tensor& t = v.toTensor();
    if (!t.defined()) {
      out << "None";
    } else {
      out << launch::dtype_name(t.scalar_type()) << t.sizes();
      if (!is_npu(t)) out << " on " << t.device();
    }
  } else if (v.isList()) {
    out << '[';
    const auto list = v.toListRef();
    for (size_t i = 0; i < list.size(); ++i) {
      if (i != 0) out << ", ";
      if (i == 8) {
        out << "... " << list.size() << " in all";
        break;
      }
      print(out, list[i]);
    }
    out << ']';
  } else if (v.isDouble()) {
    out << v.toDouble();  // an IValue would print a dot behind it
  } else {
    out << v;
  }
}

// "self=float32[2, 2], dim=0"
std::string describe(const c10::FunctionSchema& schema, at::ArrayRef<c10::IValue> arguments) {
  std::ostringstream out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].isNone()) continue;
    if (out.tellp() > 0) out << ", ";
    out << schema.arguments()[i].name() << '=';
    print(out, arguments[i]);
  }
  return out.str();
}

bool is_view(const c10::FunctionSchema& schema) {
  return std::any_of(schema.returns().begin(), schema.returns().end(), [](const c10::Argument& r) {
    return r.alias_info() != nullptr && !r.alias_info()->isWrite();
  });
}

std::atomic<FallbackWarner> warner{[](const std::string& text) { TORCH_WARN(text); }};

}  // namespace

void npu_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const std::string name = c10::toString(op.operator_name());
  const auto arguments = torch::jit::last(*stack, schema.arguments().size());
  // A kernel that exists hands over what it cannot do: some dtypes, or anything with a CANN that lacks its function.
  std::string lack = "has no npu kernel", reason;
  if (op.hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1)) {
    reason = std::exchange(next_reason, {});
    lack += std::string(" ") + (next_lack != nullptr ? next_lack : "for these dtypes");
    next_lack = nullptr;
    if (!reason.empty()) lack += " (" + reason + ")";
    if (reason.empty()) reason = "these arguments";
  }

  TORCH_CHECK_NOT_IMPLEMENTED(!is_view(schema), name, " ", lack, " and cannot run on the CPU instead: it returns a view of its "
                              "input. Arguments: ", describe(schema, arguments));
  TORCH_CHECK_NOT_IMPLEMENTED(op.hasComputedKernelForDispatchKey(c10::DispatchKey::CPU), name, " ", lack,
                              " and no CPU kernel to run instead. Arguments: ", describe(schema, arguments));
  TORCH_CHECK_NOT_IMPLEMENTED(mode() != Mode::Error, name, " ", lack, ", and TORCH_NPU_FALLBACK=error forbids running it on the "
                              "CPU. Arguments: ", describe(schema, arguments), ". Set TORCH_NPU_FALLBACK=warn to let such operators run "
                              "on the CPU, or move the inputs of this one with .cpu()");

  // The copies on the CPU are dense, so ATen's own check would not see this.
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::AliasInfo* alias = schema.arguments()[i].alias_info();
    if (alias != nullptr && alias->isWrite() && arguments[i].isTensor() && arguments[i].toTensor().defined()) {
      at::assert_no_internal_overlap(arguments[i].toTensor());
    }
  }

  // Errors of earlier launches are raised here, under the names of the operators that caused them.
  uint64_t bytes = 0;
  for_each_tensor(arguments, [&](const at::Tensor& t) {
    if (!is_npu(t)) return;
    bytes += t.nbytes();
    launch::drain(t.device().index());
  });

  bool first;
  {
    std::lock_guard lock(counts_mutex);
    Counts& c = counts[name];
    first = c.calls++ == 0;
    if (first) c.reason = reason;
    c.bytes += bytes;
  }
  if (first && mode() == Mode::Warn) {
    warner.load()(c10::str(name, " ", lack, " and runs on the CPU, which copies its tensors there and back. Arguments: ",
                           describe(schema, arguments), ". Said once per operator; torch_npu.fallbacks() counts all, "
                           "TORCH_NPU_FALLBACK=error|silent changes it."));
  }
  torch_compat::cpu_fallback(op, stack);
}

void set_fallback_warner(FallbackWarner w) { warner = w; }

void explain_next_fallback(const char* what, std::string reason) {
  next_lack = what;
  next_reason = std::move(reason);
}

std::vector<FallbackCount> fallback_counts() {
  std::vector<FallbackCount> result;
  {
    std::lock_guard lock(counts_mutex);
    for (const auto& [op, c] : counts) result.push_back({op, c.calls, c.bytes, c.reason});
  }
  std::sort(result.begin(), result.end(), [](const FallbackCount& a, const FallbackCount& b) {
    return a.calls != b.calls ? a.calls > b.calls : a.op < b.op;
  });
  return result;
}

void reset_fallback_counts() {
  std::lock_guard lock(counts_mutex);
  counts.clear();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&npu_fallback>()); }

}  // namespace torch_npu::ops
