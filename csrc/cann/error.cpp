#include "cann/error.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <string_view>

#include "cann/cann.h"

namespace torch_npu {
namespace cann {
namespace {

struct NamedCode {
  int code;
  std::string_view family;  // "acl", "aclnn", "hccl", ...: families number on their own
  const char* name;
};

// CANN's constants; generated from abi/.
#define ERROR_ENTRY(code, family, name, cause, hint) {code, family, name},
constexpr NamedCode kNames[] = {
#include "cann/error_table.inc"
};
#undef ERROR_ENTRY

struct Cause {
  int code;
  ErrorKind kind;
  const char* cause;
  const char* hint;
};

using enum ErrorKind;

constexpr const char* kRestart = "Restart the process; if it happens again, check the device with `npu-smi info`.";
constexpr const char* kBlocking = "Set ASCEND_LAUNCH_BLOCKING=1 to raise the error at the operator that causes it.";
constexpr const char* kBug = "Please report it with the message of CANN.";

// What users meet, in words.
constexpr Cause kCauses[] = {
    {100000, invalid_argument, "an argument is outside of what CANN accepts", ""},
    {100001, other, "CANN has not been initialised", ""},
    {100002, other, "CANN has been initialised already", ""},
    {100024, not_supported, "CANN has no such operator for this device", "Check that the operator packages of CANN fit this device."},
    {100026, not_supported, "the operator does not support this data type", ""},
    {100029, not_supported, "no kernel for these data types and formats", "Check that the operator packages of CANN fit this device."},
    {100037, other, "CANN has been shut down already", ""},
    {107000, invalid_argument, "an argument is outside of what the runtime accepts", ""},
    {107001, invalid_argument, "there is no device of this number", "See torch.npu.device_count() and ASCEND_RT_VISIBLE_DEVICES."},
    {107002, other, "the calling thread has no current device", ""},
    {107003, invalid_argument, "the stream belongs to another device or context", ""},
    {107006, invalid_argument, "the event has no time stamp", "Create the events with enable_timing=True and record both."},
    {107007, invalid_argument, "the end event was recorded before the start event", ""},
    {107017, invalid_argument, "the handle is not, or no longer, valid", ""},
    {107019, timeout, "waiting took longer than allowed", ""},
    {107020, timeout, "a task took longer than allowed", ""},
    {107022, device_lost, "the tasks of the device were aborted", kRestart},
    {107023, other, "the stream was aborted", ""},
    {107027, not_supported, "the call is not allowed while the stream is captured into a graph", ""},
    {107030, not_supported, "the call is not allowed in this capture mode", ""},
    {200000, out_of_memory, "the host is out of memory", ""},
    {200001, not_supported, "this CANN does not support the function", ""},
    {200002, invalid_argument, "there is no device of this number", "See torch.npu.device_count() and ASCEND_RT_VISIBLE_DEVICES."},
    {200006, not_supported, "this device or CANN does not support the feature", ""},
    {207000, not_supported, "this device or CANN does not support the feature", ""},
    {207001, out_of_memory, "the device is out of memory", ""},
    {207002, other, "device memory could not be freed", ""},
    {207004, unavailable, "no device answers", "Check `npu-smi info` and the permissions of /dev/davinci*."},
    {207005, other, "the device is out of a resource (streams, events, ...)", "Another process may hold it: see `npu-smi info`."},
    {207006, unavailable, "no permission to use the device", "Check the permissions of /dev/davinci* for this user."},
    {207007, other, "the device is out of events", ""},
    {207008, other, "the device is out of streams", ""},
    {207018, out_of_memory, "the device is out of memory", ""},
    {207020, timeout, "waiting took longer than allowed", ""},
    {300000, out_of_memory, "a memory limit was exceeded", ""},
    {361001, other, "the runtime failed below the operator", kBlocking},
    {161001, invalid_argument, "a required argument of the operator is null", ""},
    {161002, invalid_argument, "the operator does not accept these arguments (shape, data type or format)", ""},
    {500000, other, "CANN failed inside", kBug},
    {500001, other, "CANN failed inside", "Often driver, firmware and CANN do not fit together: see `python -m torch_npu.doctor`."},
    {500002, other, "CANN's graph engine failed", ""},
    {500003, other, "CANN's runtime failed", ""},
    {500004, device_lost, "the driver failed", kRestart},
    {507000, other, "CANN's runtime failed inside", kBug},
    {507001, device_lost, "the task scheduler of the device failed", kRestart},
    {507008, unavailable, "CANN does not know this chip", "Check that CANN is built for it."},
    {507010, device_lost, "the device does not answer any more (heartbeat lost)", kRestart},
    {507011, other, "a graph failed to execute", kBlocking},
    {507012, timeout, "the device did not report in time", kRestart},
    {507013, device_lost, "a DMA transfer failed", kRestart},
    {507014, timeout, "a kernel on the AI Core ran into its time limit", kBlocking},
    {507015, other, "a kernel on the AI Core failed, often by reading or writing outside of its tensors", kBlocking},
    {507016, other, "a kernel on the AI Core hit a trap", kBlocking},
    {507017, timeout, "a kernel on the AI CPU ran into its time limit", kBlocking},
    {507018, other, "a kernel on the AI CPU failed", kBlocking},
    {507022, other, "communication between processes failed", ""},
    {507033, unavailable, "the device could not be set up", "It may be in use or reset by another process: see `npu-smi info`."},
    {507034, timeout, "a kernel on the vector core ran into its time limit", kBlocking},
    {507035, other, "a kernel on the vector core failed, often by reading or writing outside of its tensors", kBlocking},
    {507036, other, "a kernel on the vector core hit a trap", kBlocking},
    {507046, timeout, "synchronising the stream took longer than allowed", ""},
    {507047, timeout, "synchronising the event took longer than allowed", ""},
    {507048, timeout, "a task graph on the device ran into its time limit", kBlocking},
    {507049, other, "a task graph on the device failed", kBlocking},
    {507053, device_lost, "device memory is faulty", kRestart},
    {507054, device_lost, "device memory is faulty (multi-bit ECC error)", kRestart},
    {507055, device_lost, "device memory may be faulty", kRestart},
    {507056, device_lost, "a link between devices failed", kRestart},
    {507057, device_lost, "a remote device may have failed", "Look at the other ranks first."},
    {507899, device_lost, "the driver failed inside", kRestart},
    {507900, other, "the AI CPU failed inside", kBug},
    {561001, other, "the operator could not infer its output shape", ""},
    {561002, other, "the operator found no tiling for these shapes", kBug},
    {561003, not_supported, "CANN has no kernel for these data types on this device", "Install the operator (kernels) package of CANN that fits this device."},
    {561101, other, "the operator could not make its executor", ""},
    {561103, other, "a null pointer inside the operator", kBug},
    {561107, unavailable, "the operator packages are not found", "Source CANN's set_env.sh: ASCEND_OPP_PATH has to name them."},
    {561112, unavailable, "the operator kernels are not installed", "Install the operator (kernels) package of CANN that fits this device."},
};

Cause cause_of(int code) noexcept {
  for (const Cause& c : kCauses) {
    if (c.code == code) return c;
  }
  if (code >= 561000 && code < 562000) return {code, other, "the operator failed inside", kBug};
  if (code >= 161000 && code < 162000) return {code, invalid_argument, "the operator does not accept these arguments", ""};
  switch (code / 100000) {
    case 1: return {code, invalid_argument, "the call was not allowed as it was made", ""};
    case 2: return {code, other, "a resource is missing or unsupported", ""};
    case 3: return {code, other, "a limit of the system was reached", ""};
    case 5: return {code, other, "CANN or the device failed inside", kBug};
    default: return {code, other, "CANN reported a failure", ""};
  }
}

const char* name_of(int code) noexcept {
  for (const NamedCode& n : kNames) {
    if (n.code == code && (n.family == "acl" || n.family == "aclnn")) return n.name;
  }
  return "unknown error code";
}

// "cann::aclrtFree(p)" -> "aclrtFree"
std::string_view function_name(std::string_view call) {
  call = call.substr(0, call.find('('));
  const size_t colon = call.rfind(':');
  return colon == call.npos ? call : call.substr(colon + 1);
}

std::string compose(int code, const ErrorInfo& info, const char* call, const char* context, const std::string& message) {
  std::string text(function_name(call));
  text += " failed";
  if (context != nullptr && *context != '\0') text += std::string(" for ") + context;
  text += ": error " + std::to_string(code) + " (" + info.name + "), " + info.cause + ".";
  if (*info.hint != '\0') text += std::string(" ") + info.hint;
  if (!message.empty()) text += "\nCANN: " + message;
  return text;
}

}  // namespace

ErrorInfo describe(int code) noexcept {
  const Cause c = cause_of(code);
  return {name_of(code), c.kind, c.cause, c.hint};
}

std::string take_message() {
  if (!aclGetRecentErrMsg.available()) return {};
  const char* raw = aclGetRecentErrMsg();
  std::string text = raw != nullptr ? raw : "";
  const auto is_space = [](unsigned char c) { return std::isspace(c); };
  text.erase(std::find_if_not(text.rbegin(), text.rend(), is_space).base(), text.end());
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
  return text;
}

void raise(int code, const char* call, const char* context) { raise(code, call, context, take_message()); }

void raise(int code, const char* call, const char* context, const std::string& message) {
  const ErrorInfo info = describe(code);
  std::string text = compose(code, info, call, context, message);
  switch (info.kind) {
    case out_of_memory: throw c10::OutOfMemoryError({__func__, "csrc/cann", 0}, std::move(text));
    case timeout: throw NPUTimeoutError(code, std::move(text));
    case invalid_argument: throw NPUInvalidArgumentError(code, std::move(text));
    case not_supported: throw NPUNotSupportedError(code, std::move(text));
    case device_lost: throw NPUDeviceLostError(code, std::move(text));
    case unavailable: throw NPUUnavailableError(code, std::move(text));
    case other: break;
  }
  throw NPUError(code, std::move(text));
}

void raise_unavailable(const std::string& reason, int code) { throw NPUUnavailableError(code, reason); }

}  // namespace cann

// The place of the throw says nothing to users: the function that failed is in the message.
NPUError::NPUError(int code, std::string message)
    : c10::AcceleratorError({"NPUError", "csrc/cann", 0}, code, std::move(message)) {}

const char* NPUError::name() const noexcept { return code() == 0 ? "" : cann::describe(code()).name; }

}  // namespace torch_npu
