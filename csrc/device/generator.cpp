#include "device/generator.h"

#include <ATen/EmptyTensor.h>
#include <c10/core/TensorImpl.h>

#include <array>
#include <cstring>
#include <mutex>

#include "device/runtime.h"

namespace torch_npu {
namespace {

constexpr size_t kSeedBytes = sizeof(uint64_t);
constexpr size_t kStateBytes = kSeedBytes + sizeof(int64_t);

void check_offset(uint64_t offset) {
  TORCH_CHECK(offset % 4 == 0, "The offset of an npu generator must be a multiple of 4, got ", offset);
}

}  // namespace

NPUGeneratorImpl::NPUGeneratorImpl(c10::DeviceIndex device)
    : torch_compat::GeneratorImpl(c10::Device(device_type(), device), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
      state_(c10::make_intrusive<PhiloxState>()) {}

void NPUGeneratorImpl::set_current_seed(uint64_t seed) {
  state_->seed = seed;
  state_->offset = 0;
}

uint64_t NPUGeneratorImpl::seed() {
  const uint64_t random = c10::detail::getNonDeterministicRandom(true);
  set_current_seed(random);
  return random;
}

void NPUGeneratorImpl::set_offset(uint64_t offset) {
  check_offset(offset);
  state_->offset = offset;
}

void NPUGeneratorImpl::set_state(const c10::TensorImpl& state) {
  at::detail::check_rng_state(state);
  const auto bytes = static_cast<size_t>(state.numel());
  TORCH_CHECK(bytes == kStateBytes || bytes == kSeedBytes, "RNG state is wrong size: an npu generator has ", kStateBytes,
              " bytes, got ", bytes);
  const auto* data = static_cast<const uint8_t*>(state.data());
  uint64_t seed = 0, offset = 0;
  std::memcpy(&seed, data, kSeedBytes);
  if (bytes == kStateBytes) std::memcpy(&offset, data + kSeedBytes, sizeof offset);
  check_offset(offset);
  state_->seed = seed;
  state_->offset = offset;
}

c10::intrusive_ptr<c10::TensorImpl> NPUGeneratorImpl::get_state() const {
  at::TensorBase tensor = at::detail::empty_cpu({static_cast<int64_t>(kStateBytes)}, c10::ScalarType::Byte, false, nullopt);
  auto* data = static_cast<uint8_t*>(tensor.data_ptr());
  std::memcpy(data, &state_->seed, kSeedBytes);
  std::memcpy(data + kSeedBytes, &state_->offset, sizeof state_->offset);
  return tensor.getIntrusivePtr();
}

void NPUGeneratorImpl::graphsafe_set_state(const c10::intrusive_ptr<c10::GeneratorImpl>& other) {
  auto* npu = dynamic_cast<NPUGeneratorImpl*>(other.get());
  TORCH_CHECK(npu != nullptr, "Expected the state of an npu generator.");
  state_ = npu->state_;
}

c10::intrusive_ptr<c10::GeneratorImpl> NPUGeneratorImpl::graphsafe_get_state() const {
  auto other = c10::make_intrusive<NPUGeneratorImpl>(device().index());
  other->state_ = state_;
  return other;
}

std::pair<uint64_t, uint64_t> NPUGeneratorImpl::philox_engine_inputs(uint64_t increment) {
  const uint64_t offset = state_->offset;
  state_->offset += (increment + 3) / 4 * 4;
  return {state_->seed, offset};
}

NPUGeneratorImpl* NPUGeneratorImpl::clone_impl() const {
  auto* other = new NPUGeneratorImpl(device().index());
  other->state_->seed = state_->seed;
  other->state_->offset = state_->offset;
  return other;
}

const at::Generator& default_generator(c10::DeviceIndex device) {
  static auto* generators = [] {
    auto* made = new std::array<at::Generator, kMaxDevices>;  // leaked: torch may seed them while the process exits
    for (c10::DeviceIndex i = 0; i < kMaxDevices; ++i) (*made)[i] = at::make_generator<NPUGeneratorImpl>(i);
    return made;
  }();
  if (device < 0) device = peek_device();
  check_device(device);
  return (*generators)[device];
}

}  // namespace torch_npu
