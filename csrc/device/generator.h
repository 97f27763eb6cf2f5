// Random numbers of an npu device: Philox, given by seed and offset. The numbers are made on the device; the host only
// keeps the two and hands out ranges of offsets.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/GeneratorImpl.h>

#include <cstdint>
#include <utility>

#include "cann/export.h"
#include "compat/interfaces.h"

namespace torch_npu {

// Shared by generators that graphsafe_set_state() made one.
struct PhiloxState : c10::intrusive_ptr_target {
  uint64_t seed = c10::default_rng_seed_val;
  uint64_t offset = 0;
};

class TORCH_NPU_API NPUGeneratorImpl final : public torch_compat::GeneratorImpl {
 public:
  explicit NPUGeneratorImpl(c10::DeviceIndex device);

  static c10::DeviceType device_type() { return c10::DeviceType::PrivateUse1; }

  void set_current_seed(uint64_t seed) override;
  uint64_t current_seed() const override { return state_->seed; }
  uint64_t seed() override;
  void set_offset(uint64_t offset) override;  // a multiple of 4
  uint64_t get_offset() const override { return state_->offset; }
  // A CPU byte tensor of 16: seed, offset. Setting takes 8 as well: offset 0.
  void set_state(const c10::TensorImpl& state) override;
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override;
  void graphsafe_set_state(const c10::intrusive_ptr<c10::GeneratorImpl>& other) override;
  c10::intrusive_ptr<c10::GeneratorImpl> graphsafe_get_state() const override;

  // Seed and offset for an operator that draws at most `increment` numbers; moves the offset on, in steps of 4. The caller
  // holds mutex_.
  std::pair<uint64_t, uint64_t> philox_engine_inputs(uint64_t increment);

 private:
  NPUGeneratorImpl* clone_impl() const override;

  c10::intrusive_ptr<PhiloxState> state_;
};

// The generator of the device that operators use when given none; -1 is the current device. Touches no device.
TORCH_NPU_API const at::Generator& default_generator(c10::DeviceIndex device = -1);

}  // namespace torch_npu
