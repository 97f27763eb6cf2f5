#include "softcann/nnop/executor.h"

#include "softcann/api_nnopbase.h"
#include "softcann/core/error.h"
#include "softcann/runtime/services.h"

namespace softcann {
namespace nnop {
namespace {

// Held for a few instructions.
class FreeList {
 public:
  aclOpExecutor* pop() {
    std::lock_guard<std::mutex> lock(mutex_);
    aclOpExecutor* first = first_;
    if (first != nullptr) first_ = first->next_free;
    return first;
  }

  void push(aclOpExecutor* executor) {
    std::lock_guard<std::mutex> lock(mutex_);
    executor->next_free = first_;
    first_ = executor;
  }

 private:
  std::mutex mutex_;
  aclOpExecutor* first_ = nullptr;
};

FreeList& free_list() {
  static auto* list = new FreeList;  // outlives every stream's thread
  return *list;
}

}  // namespace

aclOpExecutor* acquire(const char* name, const void* op, int device) {
  aclOpExecutor* executor = free_list().pop();
  if (executor == nullptr) executor = new aclOpExecutor;
  executor->name = name;
  executor->op = op;
  executor->device = device;
  executor->repeatable = false;
  executor->owners.store(1, std::memory_order_relaxed);
  executor->state.store(ExecutorState::kReady, std::memory_order_release);
  return executor;
}

void release(aclOpExecutor* executor) {
  if (executor->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  executor->state.store(ExecutorState::kFree, std::memory_order_release);
  if (executor->kernel != nullptr) executor->release_kernel(executor->kernel);
  executor->kernel = nullptr;
  executor->tensors.clear();
  free_list().push(executor);
}

int check_ready(const char* function, const aclOpExecutor* executor) {
  if (executor == nullptr) return fail(ACLNN_ERR_INNER_NULLPTR, "%s: executor is null", function);
  if (executor->magic != aclOpExecutor::kMagic) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: executor %p was not made by a ...GetWorkspaceSize function", function,
                static_cast<const void*>(executor));
  }
  if (executor->state.load(std::memory_order_acquire) != ExecutorState::kReady) {
    return fail(ACLNN_ERR_PARAM_INVALID,
                "%s: executor %p was used already; phase 2 consumes it unless aclSetAclOpExecutorRepeatable was called before",
                function, static_cast<const void*>(executor));
  }
  return 0;
}

int set_address(const char* function, aclOpExecutor& executor, TensorArgument& tensor, void* address) {
  void* alias = nullptr;
  if (address != nullptr && tensor.end != 0) {
    const auto* first = static_cast<const char*>(address) + tensor.begin;
    alias = runtime::resolve(first, tensor.end - tensor.begin, executor.device, function);
    if (alias == nullptr) return ACLNN_ERR_PARAM_INVALID;  // resolve() left the sentence
    alias = static_cast<char*>(alias) - tensor.begin;
  }
  tensor.address = address;
  tensor.alias = alias;
  return 0;
}

namespace {

int check_repeatable(const char* function, const aclOpExecutor* executor, const void* handle, const char* handle_name) {
  if (int code = check_ready(function, executor)) return code;
  if (handle == nullptr) return fail(ACLNN_ERR_INNER_NULLPTR, "%s: %s is null", function, handle_name);
  if (!executor->repeatable) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: the executor of %s is not repeatable; call aclSetAclOpExecutorRepeatable first",
                function, executor->name);
  }
  return 0;
}

// Which tensors an index counts.
bool all(Direction) { return true; }
bool inputs(Direction d) { return d != Direction::kOut; }
bool outputs(Direction d) { return d != Direction::kIn; }

int replace(const char* function, aclOpExecutor* executor, size_t index, bool (*counts)(Direction), const aclTensor* handle,
            void* address) {
  if (int code = check_repeatable(function, executor, handle, "tensor")) return code;
  size_t n = 0;
  for (TensorArgument& tensor : executor->tensors) {
    if (!counts(tensor.direction) || n++ != index) continue;
    if (!tensor.present) {
      return fail(ACLNN_ERR_PARAM_INVALID, "%s: tensor %zu of %s was null in phase 1; it has no address to replace", function,
                  index, executor->name);
    }
    return set_address(function, *executor, tensor, address);
  }
  return fail(ACLNN_ERR_PARAM_INVALID, "%s: index is %zu; %s has %zu such tensors", function, index, executor->name, n);
}

// The list is found by its handle, else by its position among the parameters that count.
int replace_in_list(const char* function, aclOpExecutor* executor, size_t parameter, size_t index, bool (*counts)(Direction),
                    const aclTensorList* handle, void* address) {
  if (int code = check_repeatable(function, executor, handle, "tensors")) return code;
  const auto find = [&](auto&& matches) -> TensorArgument* {
    size_t position = 0, seen_parameters = 0, last = SIZE_MAX;
    for (TensorArgument& tensor : executor->tensors) {
      if (!counts(tensor.direction)) continue;
      if (tensor.parameter != last) {
        last = tensor.parameter;
        ++seen_parameters;
        position = 0;
      }
      if (tensor.list != nullptr && matches(tensor, seen_parameters - 1) && position == index) return &tensor;
      ++position;
    }
    return nullptr;
  };
  TensorArgument* tensor = find([&](const TensorArgument& t, size_t) { return t.list == handle; });
  if (tensor == nullptr) tensor = find([&](const TensorArgument&, size_t p) { return p == parameter; });
  if (tensor == nullptr) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s has no tensor list at irIndex %zu with an element %zu", function, executor->name,
                parameter, index);
  }
  return set_address(function, *executor, *tensor, address);
}

}  // namespace
}  // namespace nnop

using nnop::all;
using nnop::inputs;
using nnop::outputs;

aclnnStatus api::aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  if (int code = nnop::check_ready("aclSetAclOpExecutorRepeatable", executor)) return code;
  executor->repeatable = true;
  return 0;
}

aclnnStatus api::aclDestroyAclOpExecutor(aclOpExecutor* executor) {
  if (int code = nnop::check_ready("aclDestroyAclOpExecutor", executor)) return code;
  // Runs still on a stream keep it alive, but nobody may start another one.
  executor->state.store(nnop::ExecutorState::kSubmitted, std::memory_order_release);
  nnop::release(executor);
  return 0;
}

aclnnStatus api::aclSetTensorAddr(aclOpExecutor* executor, const size_t index, aclTensor* tensor, void* addr) {
  return nnop::replace("aclSetTensorAddr", executor, index, all, tensor, addr);
}

aclnnStatus api::aclSetInputTensorAddr(aclOpExecutor* executor, const size_t index, aclTensor* tensor, void* addr) {
  return nnop::replace("aclSetInputTensorAddr", executor, index, inputs, tensor, addr);
}

aclnnStatus api::aclSetOutputTensorAddr(aclOpExecutor* executor, const size_t index, aclTensor* tensor, void* addr) {
  return nnop::replace("aclSetOutputTensorAddr", executor, index, outputs, tensor, addr);
}

aclnnStatus api::aclSetDynamicTensorAddr(aclOpExecutor* executor, size_t irIndex, const size_t relativeIndex,
                                         aclTensorList* tensors, void* addr) {
  return nnop::replace_in_list("aclSetDynamicTensorAddr", executor, irIndex, relativeIndex, all, tensors, addr);
}

aclnnStatus api::aclSetDynamicInputTensorAddr(aclOpExecutor* executor, size_t irIndex, const size_t relativeIndex,
                                              aclTensorList* tensors, void* addr) {
  return nnop::replace_in_list("aclSetDynamicInputTensorAddr", executor, irIndex, relativeIndex, inputs, tensors, addr);
}

aclnnStatus api::aclSetDynamicOutputTensorAddr(aclOpExecutor* executor, size_t irIndex, const size_t relativeIndex,
                                               aclTensorList* tensors, void* addr) {
  return nnop::replace_in_list("aclSetDynamicOutputTensorAddr", executor, irIndex, relativeIndex, outputs, tensors, addr);
}

// The spelling of older releases.
aclnnStatus api::AclSetTensorAddr(aclOpExecutor* executor, const size_t index, aclTensor* tensor, void* addr) {
  return api::aclSetTensorAddr(executor, index, tensor, addr);
}

aclnnStatus api::AclSetInputTensorAddr(aclOpExecutor* executor, const size_t index, aclTensor* tensor, void* addr) {
  return api::aclSetInputTensorAddr(executor, index, tensor, addr);
}

aclnnStatus api::AclSetOutputTensorAddr(aclOpExecutor* executor, const size_t index, aclTensor* tensor, void* addr) {
  return api::aclSetOutputTensorAddr(executor, index, tensor, addr);
}

aclnnStatus api::AclSetDynamicTensorAddr(aclOpExecutor* executor, size_t irIndex, const size_t relativeIndex,
                                         aclTensorList* tensors, void* addr) {
  return api::aclSetDynamicTensorAddr(executor, irIndex, relativeIndex, tensors, addr);
}

aclnnStatus api::AclSetDynamicInputTensorAddr(aclOpExecutor* executor, size_t irIndex, const size_t relativeIndex,
                                              aclTensorList* tensors, void* addr) {
  return api::aclSetDynamicInputTensorAddr(executor, irIndex, relativeIndex, tensors, addr);
}

aclnnStatus api::AclSetDynamicOutputTensorAddr(aclOpExecutor* executor, size_t irIndex, const size_t relativeIndex,
                                               aclTensorList* tensors, void* addr) {
  return api::aclSetDynamicOutputTensorAddr(executor, irIndex, relativeIndex, tensors, addr);
}

// Nothing to set up: every operator call stands on its own.
aclnnStatus api::aclnnInit(const char* configPath) { return 0; }
aclnnStatus api::aclnnFinalize() { return 0; }

}  // namespace softcann
