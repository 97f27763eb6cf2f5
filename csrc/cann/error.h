// CANN's error codes as exceptions. Out of memory is c10::OutOfMemoryError, everything else an NPUError.
#pragma once

#include <c10/util/Exception.h>

#include <string>

#include "cann/export.h"
#include "compat/compat.h"

namespace torch_npu {

// Base of all errors that CANN reports. It reaches Python as torch.AcceleratorError with `error_code`; the Python side
// refines that to torch_npu.NPUError and its subclasses, one per ErrorKind.
class TORCH_NPU_API NPUError : public c10::AcceleratorError {
 public:
  NPUError(int code, std::string message);
  int code() const noexcept { return get_error_code(); }
  const char* name() const noexcept;  // "ACL_ERROR_RT_PARAM_INVALID"
};

class TORCH_NPU_API NPUTimeoutError final : public NPUError { using NPUError::NPUError; };
class TORCH_NPU_API NPUInvalidArgumentError final : public NPUError { using NPUError::NPUError; };
class TORCH_NPU_API NPUNotSupportedError final : public NPUError { using NPUError::NPUError; };
// The device, or the link to it, failed: the process has to be restarted.
class TORCH_NPU_API NPUDeviceLostError final : public NPUError { using NPUError::NPUError; };
// There is no NPU to use: no CANN, a broken one, or no device. `code` is 0 where no CANN function was called.
class TORCH_NPU_API NPUUnavailableError final : public NPUError { using NPUError::NPUError; };

namespace cann {

enum class ErrorKind { other, out_of_memory, timeout, invalid_argument, not_supported, device_lost, unavailable };

struct ErrorInfo {
  const char* name;   // CANN's constant, "unknown error code" if there is none
  ErrorKind kind;
  const char* cause;  // one line
  const char* hint;   // what to do; may be ""
};

// Never fails: a code nobody documented gets the description of its range.
TORCH_NPU_API ErrorInfo describe(int code) noexcept;

// CANN's own message about the last failure of this thread, trimmed; "" if none. Taking it clears it.
std::string take_message();

// Raises the exception of `code`. `call` is what was called, as written or as a plain name; `context` says about what
// (operator and arguments); the message is taken from CANN unless given.
[[noreturn]] TORCH_NPU_API void raise(int code, const char* call, const char* context = nullptr);
[[noreturn]] TORCH_NPU_API void raise(int code, const char* call, const char* context, const std::string& message);

// There is no usable NPU; `reason` is the sentence.
[[noreturn]] TORCH_NPU_API void raise_unavailable(const std::string& reason, int code = 0);

}  // namespace cann
}  // namespace torch_npu
