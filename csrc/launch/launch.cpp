#include "launch/launch.h"

#include <ATen/core/IListRef.h>
#include <ATen/ops/empty.h>
#include <c10/core/TensorImpl.h>

#include <cstring>

#include "cann/cann.h"
#include "device/stream.h"
#include "device/sync_debug.h"
#include "launch/config.h"
#include "launch/queue.h"
#include "launch/record.h"
#include "launch/stacks.h"

namespace torch_npu::launch {

void Launch::append_tensor(const at::TensorImpl& impl) {
  const auto sizes = impl.sizes();
  const auto strides = impl.strides();
  const auto& storage = impl.unsafe_storage();
  const size_t itemsize = impl.itemsize();
  const aclDataType dtype = to_acl_dtype(c10::typeMetaToScalarType(impl.dtype()));
  has_double_ |= dtype == ACL_DOUBLE || dtype == ACL_COMPLEX128;
  word(TensorWord{true, static_cast<uint8_t>(dtype), static_cast<uint16_t>(sizes.size())}.pack());
  const size_t at = key_.size();
  const size_t n = sizes.size();
  key_.resize(at + 2 * n + 2);
  uint64_t* out = key_.data() + at;
  std::memcpy(out, sizes.data(), n * 8);
  std::memcpy(out + n, strides.data(), n * 8);
  out[2 * n] = static_cast<uint64_t>(impl.storage_offset());
  out[2 * n + 1] = storage.nbytes() / itemsize;
  addresses_.push_back(const_cast<void*>(storage.data()));
}

void Launch::tensor(const at::Tensor& t) {
  if (C10_UNLIKELY(!t.defined())) return word(TensorWord{}.pack());
  if (C10_UNLIKELY(!is_npu(t))) return host_scalar(t);
  append_tensor(*t.unsafeGetTensorImpl());
}

// A number of one call that became a device tensor. It is kept until the call is submitted: the memory of one must not
// become that of the next.
struct HostScalar {
  at::Tensor device;
  at::Tensor value;
  size_t key, address;  // its places in key_ and addresses_
  bool narrowed;        // held in float32 though it is a Python number, which is a double
};
thread_local std::vector<HostScalar> host_scalars;

at::Tensor on_device(const at::Tensor& value, at::ScalarType dtype) {
  at::Tensor device = at::empty({}, at::TensorOptions(at::Device(at::kPrivateUse1, current_device())).dtype(dtype));
  auto others = std::move(host_scalars);
  device.fill_(value.item());  // a launch of its own
  host_scalars = std::move(others);
  return device;
}

// What came before the first operand in double precision was narrowed without knowing of it.
template <class Key, class Addresses>
void widen_numbers(Key& key, Addresses& addresses) {
  for (HostScalar& number : host_scalars) {  // on_device() moves the vector, not its elements
    // A call that failed before it was submitted may have left numbers behind.
    if (!number.narrowed || number.address >= addresses.size() || addresses[number.address] != number.device.data_ptr()) continue;
    at::Tensor wide = on_device(number.value, at::kDouble);
    key[number.key] = TensorWord{true, ACL_DOUBLE, 0}.pack();
    addresses[number.address] = wide.data_ptr();
    number.device = std::move(wide);
    number.narrowed = false;
  }
}

// A 0-dim CPU tensor among npu operands becomes a device tensor, filled ahead of this launch. A Python number is held in
// float32 unless an operand is wider: it does not take part in type promotion.
void Launch::host_scalar(const at::Tensor& t) {
  TORCH_CHECK(t.is_cpu() && t.dim() == 0, "Expected all tensors to be on the same device, but found at least two devices, npu:",
              static_cast<int>(current_device()), " and ", t.device(), "! ", op_, " got a tensor of shape ", t.sizes(), " on ",
              t.device(), "; move it first, for example with .npu()");
  const bool narrow = t.unsafeGetTensorImpl()->is_wrapped_number() && t.scalar_type() == at::kDouble && !has_double_;
  HostScalar number{on_device(t, narrow ? at::kFloat : t.scalar_type()), t, key_.size(), addresses_.size(), narrow};
  append_tensor(*number.device.unsafeGetTensorImpl());
  host_scalars.push_back(std::move(number));
}

void Launch::tensor(const optional<at::Tensor>& t) {
  if (t.has_value()) return tensor(*t);
  word(TensorWord{}.pack());
}

void Launch::tensors(at::TensorList list) {
  word(list.size());
  for (const at::Tensor& t : list) tensor(t);
}

void Launch::tensors(at::ITensorListRef list) {
  word(list.size());
  for (const at::Tensor& t : list) tensor(t);
}

void Launch::tensors(const c10::List<optional<at::Tensor>>& list) {
  word(list.size());
  for (size_t i = 0; i < list.size(); ++i) tensor(optional<at::Tensor>(list.get(i)));
}

void Launch::scalar(const at::Scalar& s) {
  if (s.isBoolean()) {
    word(ACL_BOOL), word(s.toBool()), word(0);
  } else if (s.isIntegral(false)) {
    word(s.type() == at::kUInt64 ? ACL_UINT64 : ACL_INT64), word(static_cast<uint64_t>(s.toLong())), word(0);
  } else if (s.isComplex()) {
    const auto v = s.toComplexDouble();
    word(ACL_COMPLEX128), word(c10::bit_cast<uint64_t>(v.real())), word(c10::bit_cast<uint64_t>(v.imag()));
  } else {
    word(ACL_DOUBLE), word(c10::bit_cast<uint64_t>(s.toDouble())), word(0);
  }
}

void Launch::scalar(const optional<at::Scalar>& s) {
  if (s.has_value()) return scalar(*s);
  word(kNullScalar), word(0), word(0);
}

void Launch::scalar(const at::Tensor& zero_dim_cpu_tensor) { scalar(zero_dim_cpu_tensor.item()); }

void Launch::scalars(at::ArrayRef<at::Scalar> list) {
  word(list.size());
  for (const at::Scalar& s : list) scalar(s);
}

void Launch::ints(at::IntArrayRef list) {
  word(list.size());
  for (int64_t v : list) word(static_cast<uint64_t>(v));
}

void Launch::ints(at::OptionalIntArrayRef list) {
  if (list.has_value()) return ints(*list);
  word(kNullArray);
}

void Launch::bools(at::ArrayRef<bool> list) {
  word(list.size());
  for (bool v : list) word(v);
}

void Launch::floats(at::ArrayRef<double> list) {
  word(list.size());
  for (double v : list) real(v);
}

void Launch::integer(at::ScalarType dtype) { word(static_cast<uint64_t>(to_acl_dtype(dtype))); }

void Launch::string(string_view s) {
  const size_t words = s.size() / 8 + 1;  // with the terminating zero
  word(words);
  const size_t at = key_.size();
  key_.resize(at + words, 0);
  std::memcpy(key_.data() + at, s.data(), s.size());
}

void Launch::enqueue(ShapeReply* reply) {
  const c10::DeviceIndex device = current_device();
  raise_pending(device);
  if (C10_UNLIKELY(has_double_ && !host_scalars.empty())) widen_numbers(key_, addresses_);
  const Record record{&function_, op_, stream_handle(current_stream(device)), reply, keep_stack(), device,
                      static_cast<uint32_t>(addresses_.size()), static_cast<uint32_t>(key_.size())};
  push(device, op_, &run_record,
       {{&record, sizeof record}, {addresses_.data(), addresses_.size() * 8}, {key_.data(), key_.size() * 8}});
  if (C10_UNLIKELY(!host_scalars.empty())) host_scalars.clear();
}

void Launch::submit() { enqueue(nullptr); }

std::vector<c10::DimVector> Launch::submit_for_shapes(at::ArrayRef<int> outputs) {
  note_synchronization(op_);  // the shape of its result depends on values
  ShapeReply reply{outputs, {}};
  enqueue(&reply);
  drain(current_device());
  return std::move(reply.shapes);
}

}  // namespace torch_npu::launch
