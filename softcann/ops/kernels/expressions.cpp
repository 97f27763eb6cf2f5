#include "softcann/ops/kernels/expressions.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cstring>

namespace softcann::ops {

at::Generator generator(int64_t seed, int64_t offset) {
  static thread_local at::Generator cached = at::make_generator<at::CPUGeneratorImpl>();
  uint64_t mixed = static_cast<uint64_t>(seed) + 0x9E3779B97F4A7C15u * (static_cast<uint64_t>(offset) + 1);
  mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
  cached.set_current_seed(mixed ^ mixed >> 31);
  return cached;
}

at::Generator generator(const at::Tensor& seed, const at::Tensor& offset, int64_t added) {
  return generator(seed.item<int64_t>(), offset.item<int64_t>() + added);
}

at::OptionalIntArrayRef dims_or_all(at::IntArrayRef dims) {
  return dims.empty() ? at::OptionalIntArrayRef() : at::OptionalIntArrayRef(dims);
}

c10::List<std::optional<at::Tensor>> indices(at::TensorList list) {
  c10::List<std::optional<at::Tensor>> out;
  out.reserve(list.size());
  for (const at::Tensor& tensor : list) {
    // A 1-d empty tensor that is meant as an index has company of the same shape and gives an empty result; alone among
    // non-empty ones it is the placeholder.
    out.push_back(tensor.defined() && tensor.numel() != 0 ? std::optional<at::Tensor>(tensor) : std::nullopt);
  }
  return out;
}

std::optional<std::string_view> rounding_mode(int64_t mode) {
  switch (mode) {
    case 0: return std::nullopt;
    case 1: return "trunc";
    case 2: return "floor";
    default: TORCH_CHECK_VALUE(false, "mode is ", mode, "; allowed are 0 (true division), 1 (trunc) and 2 (floor)");
  }
}

void pack_bits(const at::Tensor& mask, const at::Tensor& bits) {
  const at::Tensor flat = mask.reshape({-1}).to(at::kBool).contiguous();
  at::Tensor packed = at::zeros({bits.numel()}, at::kByte);
  const bool* from = flat.const_data_ptr<bool>();
  auto* to = packed.mutable_data_ptr<uint8_t>();
  TORCH_CHECK_VALUE(flat.numel() <= bits.numel() * 8, "the mask has ", flat.numel(), " elements, its memory ", bits.numel(), " bytes");
  for (int64_t i = 0; i < flat.numel(); ++i) to[i / 8] |= static_cast<uint8_t>(from[i] << (i % 8));
  bits.copy_(packed.reshape(bits.sizes()));
}

at::Tensor unpack_bits(const at::Tensor& bits, at::IntArrayRef shape) {
  at::Tensor mask = at::empty(shape, at::kBool);
  const at::Tensor packed = bits.contiguous();
  TORCH_CHECK_VALUE(mask.numel() <= packed.numel() * 8, "the mask has ", packed.numel(), " bytes for ", mask.numel(), " elements");
  const auto* from = static_cast<const uint8_t*>(packed.const_data_ptr());
  bool* to = mask.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < mask.numel(); ++i) to[i] = (from[i / 8] >> (i % 8) & 1) != 0;
  return mask;
}

}  // namespace softcann::ops
