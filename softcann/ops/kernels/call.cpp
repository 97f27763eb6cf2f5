#include "softcann/ops/kernels/call.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/diagonal.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "csrc/compat/dispatch_keys.h"
#include "csrc/compat/scalar.h"
#include "softcann/core/error.h"
#include "softcann/ops/kernels/types.h"

namespace softcann::ops {
namespace {

at::Scalar scalar_of(const aclScalar& scalar) {
  const auto read = [&](auto zero) {
    std::memcpy(&zero, scalar.value, sizeof(zero));
    return zero;
  };
  switch (scalar.type) {
    case ACL_FLOAT: return double{read(0.0f)};
    case ACL_DOUBLE: return read(0.0);
    case ACL_FLOAT16: return double{static_cast<float>(read(c10::Half()))};
    case ACL_BF16: return double{static_cast<float>(read(c10::BFloat16()))};
    case ACL_BOOL: return read(false);
    case ACL_INT8: return int64_t{read(int8_t{})};
    case ACL_UINT8: return int64_t{read(uint8_t{})};
    case ACL_INT16: return int64_t{read(int16_t{})};
    case ACL_UINT16: return int64_t{read(uint16_t{})};
    case ACL_INT32: return int64_t{read(int32_t{})};
    case ACL_UINT32: return int64_t{read(uint32_t{})};
    case ACL_INT64: return read(int64_t{});
    case ACL_UINT64: return torch_compat::unsigned_scalar(read(uint64_t{}));
    case ACL_COMPLEX64: {
      const auto value = read(c10::complex<float>());
      return c10::complex<double>(value.real(), value.imag());
    }
    case ACL_COMPLEX128: return read(c10::complex<double>());
    default: TORCH_CHECK_VALUE(false, "a scalar of data type ", nnop::name_of(scalar.type), " is not supported");
  }
}

at::Tensor make(const aclTensor& source, at::ScalarType type, void* data, size_t bytes, c10::DispatchKey key, c10::DeviceType device) {
  auto storage = c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes,
                                                       at::DataPtr(data, c10::Device(device)), nullptr, false);
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(std::move(storage)), c10::DispatchKeySet(key),
                                                         c10::scalarTypeToTypeMeta(type));
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides({source.sizes, source.dims}, {source.strides, source.dims}, source.offset);
  return tensor;
}

// Dispatch keys of the calling thread's Python modes, transforms and autocast do not concern an operator of the device.
const c10::DispatchKeySet kForeignKeys =
    c10::autocast_dispatch_keyset | c10::python_ks |
    c10::DispatchKeySet({c10::DispatchKey::PythonDispatcher, c10::DispatchKey::PreDispatch, c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
                         c10::DispatchKey::FuncTorchDynamicLayerBackMode, c10::DispatchKey::FuncTorchBatched,
                         c10::DispatchKey::FuncTorchVmapMode, c10::DispatchKey::FuncTorchGradWrapper,
                         c10::DispatchKey::Functionalize, c10::DispatchKey::Tracer});

struct Isolation {
  c10::impl::ExcludeDispatchKeyGuard keys{kForeignKeys};
  c10::InferenceMode inference;
};

// ATen warns about things that a client of the device has no hand in (resized outputs are errors here).
class Silence : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// Shapes that were found right: a key that is here needs no second look.
class KnownKeys {
 public:
  bool contains(uint64_t key) const { return slots_[key % kSlots].load(std::memory_order_relaxed) == key; }
  void insert(uint64_t key) { slots_[key % kSlots].store(key, std::memory_order_relaxed); }

 private:
  static constexpr size_t kSlots = 1 << 14;
  std::array<std::atomic<uint64_t>, kSlots> slots_{};
};
KnownKeys known_keys;
// Calls in a half type that ATen has a kernel for, and that it has none for: what it answers is only found out by an exception, which takes
// milliseconds, and a copy of what changes in place.
KnownKeys with_kernel, without_kernel;

constexpr std::pair<at::ScalarType, std::string_view> kHalfTypes[] = {{at::kHalf, "not implemented for 'Half'"},
                                                                     {at::kBFloat16, "not implemented for 'BFloat16'"}};

// oneDNN's error, which is none of c10's. ATen asks it for products by type and processor, and it may not know them for these: torch 2.1's on
// aarch64 has no product of float32 with a single column. It writes nothing before.
bool lacks_primitive(const std::exception& error) {
  return dynamic_cast<const c10::Error*>(&error) == nullptr &&
         std::string_view(error.what()).find("could not create a primitive") != std::string_view::npos;
}

uint64_t mix(uint64_t h, uint64_t value) {
  h = (h ^ value) * 0x9E3779B97F4A7C15u;
  return h ^ h >> 29;
}

// An output has not the shape of the result.
class WrongShape : public c10::ValueError {
  using c10::ValueError::ValueError;
};

bool matches(at::IntArrayRef shape, at::IntArrayRef expected) {
  if (shape == expected) return true;
  const auto one = [](at::IntArrayRef s) { return std::all_of(s.begin(), s.end(), [](int64_t n) { return n == 1; }); };
  return one(shape) && one(expected);
}

[[noreturn]] void wrong_shape(const char* name, at::IntArrayRef shape, at::IntArrayRef result) {
  throw WrongShape({__func__, __FILE__, __LINE__}, c10::str(name, " has shape ", shape, " but the result has shape ", result));
}

}  // namespace

at::ScalarType Call::type(size_t i) const {
  const at::ScalarType type = scalar_type(static_cast<aclDataType>(values_[i].integer));
  return type == narrow_ && type != at::ScalarType::Undefined ? wide_ : type;
}

void Call::fail_element(size_t i, size_t k) const {
  TORCH_CHECK_VALUE(false, op_->parameters[i].name, " has ", values_[i].count, " elements, the list before it has more than ", k);
}

void Call::add_tensor(const OpDesc& op, uint32_t parameter, const aclTensor* source, const nnop::TensorArgument& argument) {
  const size_t index = used_++;
  if (tensors_.size() < used_) tensors_.emplace_back();
  at::Tensor& tensor = tensors_[index];
  if (source == nullptr) {
    tensor.reset();
    return;
  }
  const at::ScalarType type = scalar_type(source->type);
  TORCH_CHECK_VALUE(type != at::ScalarType::Undefined, op.parameters[parameter].name, " has data type ",
                    nnop::name_of(source->type), ", which softcann has no arithmetic for");
  const size_t bytes = argument.end;
  if (tensor.defined() && tensor.use_count() == 1 && tensor.storage().use_count() == 1) {
    auto* storage = tensor.storage().unsafeGetStorageImpl();
    storage->set_data_ptr_noswap(at::DataPtr(argument.alias, c10::Device(c10::kCPU)));
    storage->set_nbytes(bytes);
    auto* impl = tensor.unsafeGetTensorImpl();
    if (tensor.scalar_type() != type) impl->set_storage_and_dtype(tensor.storage(), c10::scalarTypeToTypeMeta(type));
    impl->set_sizes_and_strides({source->sizes, source->dims}, {source->strides, source->dims}, source->offset);
  } else {
    tensor = make(*source, type, argument.alias, bytes, c10::DispatchKey::CPU, c10::kCPU);
  }
  if (argument.direction != nnop::Direction::kIn) {
    outputs_.push_back({static_cast<uint32_t>(index), source->dims, static_cast<uint32_t>(shapes_.size()), parameter});
    shapes_.append(source->sizes, source->sizes + source->dims);
    shapes_.append(source->strides, source->strides + source->dims);
  }
}

int Call::bind(const Row& row, const OpDesc& op, const Slot* arguments, aclOpExecutor& executor) try {
  Isolation isolation;
  row_ = &row;
  op_ = &op;
  values_.resize(op.count);
  size_t next = 0;
  for (uint32_t i = 0; i < op.count; ++i) {
    const Slot& slot = arguments[i];
    Value& value = values_[i];
    value = Value();
    value.present = slot.pointer != nullptr;
    const auto take = [&](auto& to, const auto* array) {
      value.first = static_cast<uint32_t>(to.size());
      if (array == nullptr) return;
      value.count = static_cast<uint32_t>(array->size);
      to.append(array->values.get(), array->values.get() + array->size);
    };
    switch (op.parameters[i].kind) {
      case 'T':
        value.first = static_cast<uint32_t>(used_);
        add_tensor(op, i, slot.tensor, executor.tensors[next++]);
        if (row.resized >> i & 1 && slot.tensor != nullptr) {
          clients_.resize(op.count);
          slot.tensor->retain();
          clients_[i] = slot.tensor;
        }
        break;
      case 'L':
        value.first = static_cast<uint32_t>(used_);
        value.count = slot.tensors == nullptr ? 0 : static_cast<uint32_t>(slot.tensors->size);
        for (uint32_t k = 0; k < value.count; ++k) add_tensor(op, i, slot.tensors->values[k], executor.tensors[next++]);
        break;
      case 'S':
        value.first = static_cast<uint32_t>(scalars_.size());
        if (slot.scalar != nullptr) scalars_.push_back(scalar_of(*slot.scalar));
        break;
      case 'Z':
        value.first = static_cast<uint32_t>(scalars_.size());
        value.count = slot.scalars == nullptr ? 0 : static_cast<uint32_t>(slot.scalars->size);
        for (uint32_t k = 0; k < value.count; ++k) {
          TORCH_CHECK_VALUE(slot.scalars->values[k] != nullptr, op.parameters[i].name, "[", k, "] is null");
          scalars_.push_back(scalar_of(*slot.scalars->values[k]));
        }
        break;
      case 'I': take(ints_, slot.ints); break;
      case 'B': take(bools_, slot.bools); break;
      case 'F': take(floats_, slot.floats); break;
      case 's':
        value.first = static_cast<uint32_t>(texts_.size());
        if (slot.text != nullptr) texts_.emplace_back(slot.text);
        break;
      case 'd':
      case 'f': value.real = slot.real; break;
      default: value.integer = slot.integer; break;
    }
  }
  return check_shapes(op);
} catch (const c10::Error& error) {
  return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s", op.name, error.what_without_backtrace());
} catch (const std::exception& error) {
  return fail(ACLNN_ERR_INNER_CREATE_EXECUTOR, "%s: %s", op.name, error.what());
}

uint64_t Call::key() const {
  uint64_t h = reinterpret_cast<uint64_t>(row_);
  for (size_t i = 0; i < used_; ++i) {
    const at::Tensor& tensor = tensors_[i];
    if (!tensor.defined()) {
      h = mix(h, 99);
      continue;
    }
    const auto sizes = tensor.sizes();
    h = mix(h, static_cast<uint64_t>(tensor.scalar_type()) << 8 | sizes.size());
    for (int64_t n : sizes) h = mix(h, static_cast<uint64_t>(n));
  }
  for (int64_t n : ints_) h = mix(h, static_cast<uint64_t>(n));
  for (const Value& value : values_) h = mix(h, static_cast<uint64_t>(value.integer) + value.present + value.count);
  for (const at::Scalar& scalar : scalars_) h = mix(h, static_cast<uint64_t>(scalar.type()));
  return h;
}

// What the shape functions say of tensors without memory, or the row itself of small scratch tensors, is what phase 2 would say.
int Call::check_shapes(const OpDesc& op) {
  const uint64_t k = key();
  if (known_keys.contains(k)) return 0;
  Silence silence;
  c10::WarningUtils::WarningHandlerGuard quiet(&silence);
  std::string complaint;
  unknown_ = row_->check == nullptr;
  if (row_->check != nullptr) {
    std::vector<at::Tensor> shells(used_);
    for (size_t i = 0; i < used_; ++i) {
      if (!tensors_[i].defined()) continue;
      const at::Tensor& like = tensors_[i];
      shells[i] = at::detail::empty_strided_meta(like.sizes(), like.strides(), like.scalar_type());
    }
    complaint = try_with(shells, &Call::check).sentence;
  }
  if (unknown_ && complaint.empty()) complaint = try_with_scratch();
  if (!complaint.empty()) return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s", op.name, complaint.c_str());
  known_keys.insert(k);
  return 0;
}

Call::Complaint Call::try_with(std::vector<at::Tensor>& others, void (Call::*function)()) {
  tensors_.swap(others);
  trying_ = true;
  struct Back {
    Call& call;
    std::vector<at::Tensor>& tensors;
    ~Back() {
      call.tensors_.swap(tensors);
      call.trying_ = false;
    }
  } back{*this, others};
  try {
    (this->*function)();
    check_outputs();
  } catch (const c10::NotImplementedError&) {
    // No shape function for these arguments; phase 2 will tell.
  } catch (const WrongShape& error) {
    return {error.what_without_backtrace(), true};
  } catch (const c10::Error& error) {
    return {error.what_without_backtrace(), false};
  } catch (const std::exception&) {
    // Not about shapes; phase 2 will tell.
  }
  return {};
}

// What phase 2 would say whatever the tensors hold: a sentence that comes twice, or the only one about an output's shape.
std::string Call::try_with_scratch() {
  std::vector<std::string> shapes, others;
  for (Contents contents : {Contents::kZeros, Contents::kOnes, Contents::kIdentity}) {
    std::vector<at::Tensor> scratch;
    if (!make_scratch(scratch, contents)) return "";
    Complaint complaint = try_with(scratch, &Call::compute);
    if (complaint.sentence.empty()) return "";
    if (!complaint.certain && std::find(others.begin(), others.end(), complaint.sentence) != others.end()) return complaint.sentence;
    (complaint.certain ? shapes : others).push_back(std::move(complaint.sentence));
  }
  return !shapes.empty() && std::equal(shapes.begin() + 1, shapes.end(), shapes.begin()) ? shapes.front() : "";
}

bool Call::make_scratch(std::vector<at::Tensor>& to, Contents contents) const {
  constexpr size_t kMost = 256 * 1024;
  size_t total = 0;
  to.resize(used_);
  for (size_t i = 0; i < used_; ++i) {
    const at::Tensor& like = tensors_[i];
    if (!like.defined()) continue;
    const size_t bytes = at::detail::computeStorageNbytes(like.sizes(), like.strides(), like.itemsize());
    if ((total += bytes) > kMost) return false;
    at::DataPtr data = c10::GetCPUAllocator()->allocate(bytes);
    std::memset(data.get(), 0, bytes);
    to[i] = at::detail::make_tensor<c10::TensorImpl>(
        c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes, std::move(data), nullptr, false),
        c10::DispatchKeySet(c10::DispatchKey::CPU), like.dtype());
    to[i].unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides());
  }
  if (contents == Contents::kZeros) return true;
  try {
    for (const at::Tensor& tensor : to) {
      if (!tensor.defined()) continue;
      if (contents == Contents::kIdentity) {
        (tensor.dim() >= 2 ? at::diagonal(tensor, 0, -2, -1) : at::as_strided(tensor, {tensor.numel() == 0 ? 0 : 1}, {1})).fill_(1);
      } else {
        at::as_strided(tensor, {static_cast<int64_t>(tensor.storage().nbytes() / tensor.itemsize())}, {1}).fill_(1);
      }
    }
  } catch (const c10::Error&) {
    return false;
  }
  return true;
}

void Call::check_outputs() const {
  for (const Output& output : outputs_) {
    if (row_->resized >> output.parameter & 1) continue;
    const at::IntArrayRef expected(shapes_.data() + output.first, output.dims);
    const at::IntArrayRef actual = tensors_[output.tensor].sizes();
    if (!matches(actual, expected)) wrong_shape(op_->parameters[output.parameter].name, expected, actual);
  }
}

uint64_t Call::layout_key(at::ScalarType half) const {
  const auto end = tensors_.begin() + static_cast<std::ptrdiff_t>(used_);
  if (std::none_of(tensors_.begin(), end, [&](const at::Tensor& t) { return t.defined() && t.scalar_type() == half; })) return 0;
  uint64_t h = mix(reinterpret_cast<uint64_t>(row_), static_cast<uint64_t>(half));
  for (size_t i = 0; i < used_; ++i) {
    const at::Tensor& tensor = tensors_[i];
    if (!tensor.defined()) continue;
    h = mix(h, static_cast<uint64_t>(tensor.scalar_type()));
    for (int64_t n : tensor.sizes()) h = mix(h, static_cast<uint64_t>(n));
    for (int64_t n : tensor.strides()) h = mix(h, static_cast<uint64_t>(n));
  }
  return h;
}

void Call::compute() {
  const auto in_place = [this](const Output& output) { return op_->parameters[output.parameter].direction == nnop::Direction::kInOut; };
  for (const auto& [half, sentence] : kHalfTypes) {
    const uint64_t key = layout_key(half);
    if (key == 0) continue;
    if (with_kernel.contains(key)) return row_->compute(*this);
    if (without_kernel.contains(key)) return compute_wider(half);
    c10::SmallVector<std::pair<at::Tensor, at::Tensor>, 2> before;
    for (const Output& output : outputs_) {
      if (!in_place(output)) continue;
      const at::Tensor& tensor = tensors_[output.tensor];
      before.emplace_back(tensor, tensor.clone());
    }
    try {
      row_->compute(*this);
      with_kernel.insert(key);
      return;
    } catch (const c10::Error& error) {
      if (error.msg().find(sentence) == std::string::npos) throw;
    } catch (const std::exception& error) {
      if (!lacks_primitive(error)) throw;
    }
    for (auto& [tensor, old] : before) tensor.copy_(old);
    without_kernel.insert(key);
    return compute_wider(half);
  }
  try {
    return row_->compute(*this);
  } catch (const std::exception& error) {
    if (!lacks_primitive(error) || std::any_of(outputs_.begin(), outputs_.end(), in_place)) throw;
  }
  compute_wider(at::kFloat);
}

void Call::compute_wider(at::ScalarType type) {
  if (type != at::kFloat) {
    try {
      return compute_as(type, at::kFloat);
    } catch (const std::exception& error) {
      if (!lacks_primitive(error)) throw;
    }
  }
  compute_as(type, at::kDouble);
}

void Call::compute_as(at::ScalarType narrow, at::ScalarType wide) {
  struct Back {
    Call& call;
    std::vector<std::pair<size_t, at::Tensor>> tensors;
    ~Back() {
      for (auto& [i, tensor] : tensors) call.tensors_[i] = std::move(tensor);
      call.narrow_ = at::ScalarType::Undefined;
    }
  } back{*this, {}};
  narrow_ = narrow;
  wide_ = wide;
  for (size_t i = 0; i < used_; ++i) {
    if (!tensors_[i].defined() || tensors_[i].scalar_type() != narrow) continue;
    back.tensors.emplace_back(i, tensors_[i]);
    tensors_[i] = tensors_[i].to(wide);
  }
  row_->compute(*this);
  check_outputs();
  for (const Output& output : outputs_) {
    for (const auto& [i, tensor] : back.tensors) {
      if (i == output.tensor) tensor.copy_(tensors_[i]);
    }
  }
}

int Call::run(const nnop::TensorArgument* arguments, void* const* aliases) {
  static thread_local Silence silence;
  const char* name = op_->name;
  try {
    Isolation isolation;
    c10::WarningUtils::WarningHandlerGuard quiet(&silence);
    if (aliases != nullptr) {
      for (size_t i = 0; i < used_; ++i) {
        if (!tensors_[i].defined()) continue;
        auto* storage = tensors_[i].storage().unsafeGetStorageImpl();
        if (storage->data() != aliases[i]) storage->set_data_ptr_noswap(at::DataPtr(aliases[i], c10::Device(c10::kCPU)));
      }
    }
    // ATen's kernels may take an output to have the strides that they would have given it.
    struct Gaps {
      Call& call;
      c10::SmallVector<std::pair<uint32_t, at::Tensor>, 2> views;
      ~Gaps() {
        for (auto& [index, view] : views) call.tensors_[index] = std::move(view);
      }
    } gaps{*this, {}};
    for (const Output& output : outputs_) {
      at::Tensor& tensor = tensors_[output.tensor];
      if (op_->parameters[output.parameter].direction != nnop::Direction::kOut || tensor.is_contiguous()) continue;
      gaps.views.emplace_back(output.tensor, tensor);
      tensor = tensor.contiguous();
    }
    struct Restore {  // an output that was resized must not stay so in a repeatable executor
      Call& call;
      ~Restore() {
        for (const Output& output : call.outputs_) {
          auto& tensor = call.tensors_[output.tensor];
          const at::IntArrayRef sizes(call.shapes_.data() + output.first, output.dims);
          if (tensor.sizes() == sizes) continue;
          tensor.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, {sizes.end(), output.dims}, tensor.storage_offset());
        }
      }
    } restore{*this};
    compute();
    check_outputs();
    for (auto& [index, view] : gaps.views) view.copy_(tensors_[index].reshape(view.sizes()));
    return 0;
  } catch (const c10::Error& error) {
    return fail(ACL_ERROR_RT_AICPU_EXCEPTION, "%s: %s", name, error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "%s: the kernel ran out of host memory", name);
  } catch (const std::exception& error) {
    return fail(ACL_ERROR_RT_AICPU_EXCEPTION, "%s: %s", name, error.what());
  }
}

void Call::expect(const at::Tensor& out, const at::Tensor& value) const {
  if (!out.defined() || !value.defined() || matches(value.sizes(), out.sizes())) return;
  const char* name = "the output";
  for (const Output& output : outputs_) {
    if (tensors_[output.tensor].is_same(out)) name = op_->parameters[output.parameter].name;
  }
  wrong_shape(name, out.sizes(), value.sizes());
}

void Call::store(const at::Tensor& out, const at::Tensor& value) const {
  if (!out.defined() || !value.defined()) return;
  expect(out, value);
  out.copy_(value.sizes() == out.sizes() ? value : value.reshape(out.sizes()));
}

void Call::resize(size_t parameter, const at::Tensor& value) {
  const at::Tensor& out = tensor(parameter);
  if (!out.defined() || !value.defined()) return;
  TORCH_CHECK_VALUE(value.numel() <= out.numel(), op_->parameters[parameter].name, " has room for ", out.numel(),
                    " elements (shape ", out.sizes(), "), the result has ", value.numel(), " (shape ", value.sizes(), ")");
  TORCH_CHECK_VALUE(value.dim() <= static_cast<int64_t>(nnop::kMaxDims), "the result has ", value.dim(), " dimensions");
  std::vector<int64_t> strides(static_cast<size_t>(value.dim()));
  int64_t step = 1;
  for (size_t i = strides.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<int64_t>(value.size(static_cast<int64_t>(i)), 1);
  }
  at::as_strided(out, value.sizes(), strides, out.storage_offset()).copy_(value);
  if (trying_) return;
  auto* client = const_cast<aclTensor*>(clients_[parameter]);
  client->dims = static_cast<uint32_t>(value.dim());
  std::copy_n(value.sizes().data(), client->dims, client->sizes);
  std::copy_n(strides.data(), client->dims, client->strides);
}

void Call::clear() {
  for (const aclTensor* client : clients_) {
    if (client != nullptr) client->release();
  }
  clients_.clear();
  used_ = 0;
  scalars_.clear();
  ints_.clear();
  bools_.clear();
  floats_.clear();
  texts_.clear();
  outputs_.clear();
  shapes_.clear();
}

}  // namespace softcann::ops
