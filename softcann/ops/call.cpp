#include "softcann/ops/call.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "softcann/core/entry.h"
#include "softcann/core/error.h"
#include "softcann/ops/kernels.h"
#include "softcann/runtime/services.h"

namespace softcann::ops {
namespace {

using nnop::Direction;
using nnop::Kind;
using nnop::TensorArgument;

std::string shape_of(const aclTensor& tensor) {
  std::string out = "[";
  for (uint32_t i = 0; i < tensor.dims; ++i) out += (i == 0 ? "" : ", ") + std::to_string(tensor.sizes[i]);
  return out + ']';
}

bool is_contiguous(const aclTensor& tensor) {
  int64_t step = 1;
  for (uint32_t i = tensor.dims; i-- > 0;) {
    if (tensor.sizes[i] == 0) return true;
    if (tensor.sizes[i] != 1 && tensor.strides[i] != step) return false;
    step *= tensor.sizes[i];
  }
  return true;
}

std::string describe(const aclTensor* tensor) {
  if (tensor == nullptr) return "null";
  if (tensor->kind != Kind::kTensor) return "not a live aclTensor";
  std::string out = nnop::name_of(tensor->type) + shape_of(*tensor);
  if (!is_contiguous(*tensor)) {
    out += " strides [";
    for (uint32_t i = 0; i < tensor->dims; ++i) out += (i == 0 ? "" : ", ") + std::to_string(tensor->strides[i]);
    out += ']';
  }
  return out;
}

std::string describe(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}
std::string describe(int64_t value) { return std::to_string(value); }
std::string describe(bool value) { return value ? "true" : "false"; }
std::string describe(float value) { return describe(static_cast<double>(value)); }

std::string describe(const aclScalar* scalar) {
  if (scalar == nullptr) return "null";
  if (scalar->kind != Kind::kScalar) return "not a live aclScalar";
  const auto read = [&](auto zero) {
    std::memcpy(&zero, scalar->value, sizeof(zero));
    return zero;
  };
  const std::string name = nnop::name_of(scalar->type);
  switch (scalar->type) {
    case ACL_FLOAT: return name + ' ' + describe(read(0.0f));
    case ACL_DOUBLE: return name + ' ' + describe(read(0.0));
    case ACL_BOOL: return name + ' ' + describe(read(false));
    case ACL_INT8: return name + ' ' + std::to_string(read(int8_t{}));
    case ACL_UINT8: return name + ' ' + std::to_string(read(uint8_t{}));
    case ACL_INT16: return name + ' ' + std::to_string(read(int16_t{}));
    case ACL_INT32: return name + ' ' + std::to_string(read(int32_t{}));
    case ACL_INT64: return name + ' ' + std::to_string(read(int64_t{}));
    default: {
      std::string bits = name + " bits";
      for (int i = nnop::bits_of(scalar->type) / 8; i-- > 0;) {
        char byte[4];
        std::snprintf(byte, sizeof(byte), " %02x", static_cast<unsigned char>(scalar->value[i]));
        bits += byte;
      }
      return bits;
    }
  }
}

template <class Array>
std::string describe_all(const Array* array, Kind kind) {
  if (array == nullptr || array->kind != kind) return "null";
  std::string out = "{";
  for (uint64_t i = 0; i < array->size; ++i) out += (i == 0 ? "" : ", ") + describe(array->values[i]);
  return out + '}';
}

std::string describe(const Parameter& parameter, const Slot& slot) {
  switch (parameter.kind) {
    case 'T':
      return describe(slot.tensor);
    case 'L':
      return describe_all(slot.tensors, Kind::kTensorList);
    case 'S':
      return describe(slot.scalar);
    case 'Z':
      return describe_all(slot.scalars, Kind::kScalarList);
    case 'I':
      return describe_all(slot.ints, Kind::kIntArray);
    case 'B':
      return describe_all(slot.bools, Kind::kBoolArray);
    case 'F':
      return describe_all(slot.floats, Kind::kFloatArray);
    case 'd':
    case 'f':
      return describe(slot.real);
    case 's':
      return slot.text == nullptr ? "null" : slot.text;
    case 'l':
    case 'i':
    case 'c':
    case 'b':
      return std::to_string(slot.integer);
    default:
      return slot.pointer == nullptr ? "null" : "given";
  }
}

std::string names_of(uint64_t types) {
  std::string out;
  for (int type = 0; type < 64; ++type) {
    if ((types >> type & 1) == 0) continue;
    if (!out.empty()) out += ", ";
    out += nnop::name_of(static_cast<aclDataType>(type));
  }
  return out;
}

bool any_type_allowed() {
  static const bool any = [] {
    const char* value = std::getenv("SOFTCANN_DTYPES");
    return value != nullptr && std::strcmp(value, "any") == 0;
  }();
  return any;
}

// Formats whose storage is the plain row-major order of the shape.
bool is_plain(aclFormat format) {
  switch (format) {
    case ACL_FORMAT_UNDEFINED:
    case ACL_FORMAT_NCHW:
    case ACL_FORMAT_NHWC:
    case ACL_FORMAT_ND:
    case ACL_FORMAT_HWCN:
    case ACL_FORMAT_NDHWC:
    case ACL_FORMAT_NCDHW:
    case ACL_FORMAT_NC:
    case ACL_FORMAT_NCL:
      return true;
    default:
      return false;
  }
}

// One tensor: alive, allowed type, view within storage, storage within live memory. `index` >= 0: element of a list.
int add_tensor(const OpDesc& op, const Parameter& parameter, const aclTensor* tensor, const void* list, int index,
               uint16_t position, aclOpExecutor& executor) {
  const auto name_of_it = [&] {
    return index < 0 ? std::string(parameter.name) : parameter.name + ('[' + std::to_string(index) + ']');
  };
  TensorArgument argument{nullptr, nullptr, 0, 0, list, position, parameter.direction, tensor != nullptr};
  if (tensor == nullptr) {
    executor.tensors.push_back(argument);
    return 0;
  }
  if (tensor->kind != Kind::kTensor) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s is no live aclTensor: destroyed, or not made by aclCreateTensor", op.name,
                name_of_it().c_str());
  }
  if (parameter.types != 0 && (nnop::bit_of(tensor->type) & parameter.types) == 0 && !any_type_allowed()) {
    return fail(ACLNN_ERR_PARAM_INVALID,
                "%s: %s has data type %s; allowed are %s (SOFTCANN_DTYPES=any lifts this check)", op.name, name_of_it().c_str(),
                nnop::name_of(tensor->type), names_of(parameter.types).c_str());
  }
  if (!is_plain(tensor->format)) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s has the private format %d; softcann computes on ND, NCHW and the other plain formats",
                op.name, name_of_it().c_str(), static_cast<int>(tensor->format));
  }
  for (uint32_t i = 0; i < tensor->dims; ++i) {
    if (tensor->strides[i] < 0) {
      return fail(ACLNN_ERR_PARAM_INVALID, "%s: stride %lld of dimension %u of %s is negative", op.name,
                  static_cast<long long>(tensor->strides[i]), i, name_of_it().c_str());
    }
  }
  const int64_t extent = tensor->extent();
  if (extent > tensor->storage_elements()) {
    return fail(ACLNN_ERR_PARAM_INVALID,
                "%s: %s %s with offset %lld reaches element %lld of a storage of %lld", op.name, name_of_it().c_str(),
                describe(tensor).c_str(), static_cast<long long>(tensor->offset), static_cast<long long>(extent - 1),
                static_cast<long long>(tensor->storage_elements()));
  }
  if (extent != 0) {
    const auto bits = static_cast<uint64_t>(nnop::bits_of(tensor->type));
    argument.begin = static_cast<uint64_t>(tensor->offset) * bits / 8;
    argument.end = (static_cast<uint64_t>(extent) * bits + 7) / 8;
  }
  executor.tensors.push_back(argument);
  return nnop::set_address(op.name, executor, executor.tensors.back(), tensor->data);
}

template <class T>
int check_handle(const OpDesc& op, const Parameter& parameter, const T* handle, Kind kind, const char* type) {
  if (handle != nullptr && handle->kind != kind) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s is no live %s: destroyed, or made by another function", op.name, parameter.name,
                type);
  }
  return 0;
}

int check(const OpDesc& op, const Slot* arguments, aclOpExecutor& executor) {
  uint16_t position = 0;
  for (uint32_t i = 0; i < op.count; ++i) {
    const Parameter& parameter = op.parameters[i];
    const Slot& slot = arguments[i];
    const bool is_handle = std::strchr("TLSZIBFs", parameter.kind) != nullptr;
    if (is_handle && slot.pointer == nullptr && !parameter.optional) {
      return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: %s is null; it is required", op.name, parameter.name);
    }
    int code = 0;
    switch (parameter.kind) {
      case 'T':
        code = add_tensor(op, parameter, slot.tensor, nullptr, -1, position++, executor);
        break;
      case 'L':
        code = check_handle(op, parameter, slot.tensors, Kind::kTensorList, "aclTensorList");
        for (uint64_t k = 0; code == 0 && slot.tensors != nullptr && k < slot.tensors->size; ++k) {
          code = add_tensor(op, parameter, slot.tensors->values[k], slot.tensors, static_cast<int>(k), position, executor);
        }
        ++position;
        break;
      case 'S':
        code = check_handle(op, parameter, slot.scalar, Kind::kScalar, "aclScalar");
        break;
      case 'Z':
        code = check_handle(op, parameter, slot.scalars, Kind::kScalarList, "aclScalarList");
        break;
      case 'I':
        code = check_handle(op, parameter, slot.ints, Kind::kIntArray, "aclIntArray");
        break;
      case 'B':
        code = check_handle(op, parameter, slot.bools, Kind::kBoolArray, "aclBoolArray");
        break;
      case 'F':
        code = check_handle(op, parameter, slot.floats, Kind::kFloatArray, "aclFloatArray");
        break;
      default:
        break;
    }
    if (code != 0) return code;
  }
  return 0;
}

// Marks operators that were looked for and not found.
constexpr char kMissing = 0;

int find_kernel(const OpDesc& op, const void** kernel, const Kernels** library) {
  *library = kernels();
  if (*library == nullptr) return ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND;
  *kernel = op.kernel.load(std::memory_order_acquire);
  if (*kernel == nullptr) {
    *kernel = (*library)->find(op.name);
    if (*kernel == nullptr) *kernel = &kMissing;
    op.kernel.store(*kernel, std::memory_order_release);
  }
  if (*kernel == &kMissing) return unsupported(op.name, ACLNN_ERR_INNER_FIND_KERNEL_ERROR);
  return 0;
}

int prepare(const OpDesc& op, const Slot* arguments, uint64_t* workspaceSize, aclOpExecutor** result) {
  if (workspaceSize == nullptr) return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: workspaceSize is null", op.phase1);
  if (result == nullptr) return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: executor is null", op.phase1);
  int32_t device = -1;
  if (aclrtGetDevice(&device) != 0) {
    return fail(ACLNN_ERR_RUNTIME_ERROR, "%s: this thread has no device; call aclrtSetDevice first", op.phase1);
  }
  aclOpExecutor* executor = nnop::acquire(op.name, &op, device);
  int code = check(op, arguments, *executor);
  const void* kernel = nullptr;
  const Kernels* library = nullptr;
  if (code == 0) code = find_kernel(op, &kernel, &library);
  if (code == 0) code = library->bind(kernel, op, arguments, *executor);
  if (code != 0) {
    nnop::release(executor);
    return code;
  }
  executor->release_kernel = library->release;
  *workspaceSize = 0;
  *result = executor;
  return 0;
}

int run_once(void* state) {
  auto* executor = static_cast<aclOpExecutor*>(state);
  return kernels()->run(executor->kernel, executor->tensors.data(), nullptr);
}

void drop_once(void* state) { nnop::release(static_cast<aclOpExecutor*>(state)); }

// A run of a repeatable executor, with the addresses of the moment it was submitted.
struct Run {
  aclOpExecutor* executor;
  std::unique_ptr<void*[]> aliases;
};

int run_again(void* state) {
  auto* run = static_cast<Run*>(state);
  std::lock_guard<std::mutex> lock(run->executor->running);
  return kernels()->run(run->executor->kernel, run->executor->tensors.data(), run->aliases.get());
}

void drop_again(void* state) {
  auto* run = static_cast<Run*>(state);
  nnop::release(run->executor);
  delete run;
}

int submit(const OpDesc& op, aclOpExecutor* executor, aclrtStream stream) {
  if (int code = nnop::check_ready(op.name, executor)) return code;
  if (executor->op != &op) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: the executor was made by %sGetWorkspaceSize", op.name, executor->name);
  }
  if (stream != nullptr) {
    const int device = runtime::device_of(stream);
    if (device < 0) return ACLNN_ERR_RUNTIME_ERROR;
    if (device != executor->device) {
      return fail(ACLNN_ERR_RUNTIME_ERROR, "%s: phase 1 ran on device %d, the stream belongs to device %d", op.name,
                  executor->device, device);
    }
  }
  for (size_t i = 0; i < executor->tensors.size(); ++i) {
    const TensorArgument& tensor = executor->tensors[i];
    if (tensor.needs_memory() && tensor.alias == nullptr) {
      return fail(ACLNN_ERR_INNER_NULLPTR, "%s: tensor %zu (counted over all tensors) has no device address", op.name, i);
    }
  }
  if (!executor->repeatable) {
    executor->state.store(nnop::ExecutorState::kSubmitted, std::memory_order_release);
    return runtime::enqueue(stream, {&run_once, &drop_once, executor, op.name});
  }
  auto aliases = std::make_unique<void*[]>(executor->tensors.size());
  for (size_t i = 0; i < executor->tensors.size(); ++i) aliases[i] = executor->tensors[i].alias;
  executor->owners.fetch_add(1, std::memory_order_relaxed);
  return runtime::enqueue(stream, {&run_again, &drop_again, new Run{executor, std::move(aliases)}, op.name});
}

}  // namespace

aclnnStatus phase1(const OpDesc& op, const Slot* arguments, uint64_t* workspaceSize, aclOpExecutor** executor) {
  Entry entry(op.phase1, ACLNN_ERR_INNER);
  if (entry.watched()) {
    for (uint32_t i = 0; i < op.count; ++i) {
      entry.argument(op.parameters[i].name, describe(op.parameters[i], arguments[i]).c_str());
    }
    if (entry.fails()) return entry.returns_status(entry.code(), "aclnn");
  }
  const aclnnStatus status = prepare(op, arguments, workspaceSize, executor);
  if (entry.watched() && status == 0) entry.output("executor", executor);
  return entry.returns_status(status, "aclnn");
}

aclnnStatus phase2(const OpDesc& op, void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) {
  Entry entry(op.name, ACLNN_ERR_INNER);
  if (entry.watched()) {
    entry.argument("workspace", workspace);
    entry.argument("workspaceSize", workspaceSize);
    entry.argument("executor", executor);
    entry.argument("stream", stream);
    if (entry.fails()) return entry.returns_status(entry.code(), "aclnn");
  }
  return entry.returns_status(submit(op, executor, stream), "aclnn");
}

}  // namespace softcann::ops
