// What changed inside of torch's headers between versions: see README.md. Names that torch lacks are added where torch has them later,
// so that the other sources are written for the primary version.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <string>
#include <utility>

#if TORCH_NPU_TORCH_VERSION < 20300
#include <c10/util/Optional.h>
#include <c10/util/string_view.h>
#else
#include <optional>
#include <string_view>
#endif

// ATen's functions took and returned optionals and string views of c10's own before the standard's.
namespace torch_compat {
#if TORCH_NPU_TORCH_VERSION < 20200
using c10::nullopt;
using c10::optional;
#else
using std::nullopt;
using std::optional;
#endif
#if TORCH_NPU_TORCH_VERSION < 20600
using c10::string_view;
#else
using std::string_view;
#endif
}  // namespace torch_compat

namespace torch_npu {

using torch_compat::nullopt;
using torch_compat::optional;
using torch_compat::string_view;

// Whether a tensor is on this project's device.
template <class Tensor>
bool is_npu(const Tensor& t) {
#if TORCH_NPU_TORCH_VERSION < 20200
  return t.device().type() == c10::kPrivateUse1;
#else
  return t.is_privateuseone();
#endif
}

}  // namespace torch_npu

// The outputs of meta functions had names of dimensions.
#if TORCH_NPU_TORCH_VERSION < 21300
#define TORCH_NPU_NAMES_PARAMETER , at::DimnameList names
#define TORCH_NPU_NAMES , names
#else
#define TORCH_NPU_NAMES_PARAMETER
#define TORCH_NPU_NAMES
#endif

// The guard's functions for current streams were noexcept.
#if TORCH_NPU_TORCH_VERSION < 20300
#define TORCH_NPU_GUARD_NOEXCEPT noexcept
#else
#define TORCH_NPU_GUARD_NOEXCEPT
#endif

// No tensor has a dtype that torch lacks: its tables call it Undefined.
#if TORCH_NPU_TORCH_VERSION < 20300
namespace c10 {
constexpr ScalarType kUInt16 = ScalarType::Undefined;
constexpr ScalarType kUInt32 = ScalarType::Undefined;
constexpr ScalarType kUInt64 = ScalarType::Undefined;
}  // namespace c10
#endif
#if TORCH_NPU_TORCH_VERSION < 20100
namespace c10 {
constexpr ScalarType kFloat8_e5m2 = ScalarType::Undefined;
constexpr ScalarType kFloat8_e4m3fn = ScalarType::Undefined;
}  // namespace c10
#endif
#if TORCH_NPU_TORCH_VERSION < 20700
namespace c10 {
constexpr ScalarType kFloat8_e8m0fnu = ScalarType::Undefined;
}  // namespace c10
#endif

#if TORCH_NPU_TORCH_VERSION < 20600
namespace c10 {
namespace utils {
inline torch_compat::optional<std::string> get_env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? torch_compat::nullopt : torch_compat::optional<std::string>(value);
}
}  // namespace utils
}  // namespace c10
#endif

#if TORCH_NPU_TORCH_VERSION < 20900
namespace c10 {
// An error of a device with the vendor's code. Before 2.9 such an error reaches Python as RuntimeError.
class AcceleratorError : public Error {
 public:
  AcceleratorError(SourceLocation location, int code, std::string message) : Error(location, std::move(message)), code_(code) {}
  int get_error_code() const noexcept { return code_; }

 private:
  int code_;
};
}  // namespace c10
#endif
