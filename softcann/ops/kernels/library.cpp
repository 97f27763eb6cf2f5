// The table that libopapi.so asks for.
#include <torch/version.h>

#include <mutex>
#include <string_view>
#include <unordered_map>

#include "softcann/ops/kernels/call.h"
#include "softcann/ops/kernels/row_tables.h"

namespace softcann::ops {
namespace {

const void* find(const char* op) {
  static const auto* index = [] {
    auto* map = new std::unordered_map<std::string_view, const Row*>;
    for (const RowTable& table : row_tables()) {
      for (size_t i = 0; i < table.count; ++i) map->emplace(table.rows[i].name, &table.rows[i]);
    }
    return map;
  }();
  const auto it = index->find(op);
  return it == index->end() ? nullptr : it->second;
}

// Calls are kept with their tensors: most of what a call costs is making them.
std::mutex free_mutex;
Call* free_calls = nullptr;

Call* acquire() {
  {
    std::lock_guard<std::mutex> lock(free_mutex);
    if (Call* call = free_calls) {
      free_calls = call->next_free;
      return call;
    }
  }
  return new Call;
}

void release(void* kernel) {
  auto* call = static_cast<Call*>(kernel);
  call->clear();
  std::lock_guard<std::mutex> lock(free_mutex);
  call->next_free = free_calls;
  free_calls = call;
}

int bind(const void* row, const OpDesc& op, const Slot* arguments, aclOpExecutor& executor) {
  Call* call = acquire();
  const int code = call->bind(*static_cast<const Row*>(row), op, arguments, executor);
  if (code != 0) {
    release(call);
    return code;
  }
  executor.kernel = call;
  return 0;
}

int run(void* kernel, const nnop::TensorArgument* tensors, void* const* aliases) {
  return static_cast<Call*>(kernel)->run(tensors, aliases);
}

constexpr uint64_t kTorchVersion = uint64_t{TORCH_VERSION_MAJOR} << 56 | uint64_t{TORCH_VERSION_MINOR} << 48 | uint64_t{TORCH_VERSION_PATCH} << 40;
constexpr Kernels kTable{kTorchVersion, &find, &bind, &run, &release};

}  // namespace
}  // namespace softcann::ops

extern "C" [[gnu::visibility("default")]] const softcann::ops::Kernels* softcann_kernels() { return &softcann::ops::kTable; }
