#include "cann/error.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "cann/cann.h"

namespace torch_npu {
namespace cann {
namespace {

struct Entry {
  int code;
  std::string_view family;  // "acl", "aclnn", "hccl", ...: families number on their own
  const char* name;
  const char* cause;
  const char* hint;
};

// CANN's constants with cause and next step; generated from abi/errors.csv.
#define ERROR_ENTRY(code, family, name, cause, hint) {code, family, name, cause, hint},
constexpr Entry kEntries[] = {
#include "cann/error_table.inc"
};
#undef ERROR_ENTRY

using enum ErrorKind;

struct KindOf {
  int code;
  ErrorKind kind;
};

// Codes that programs tell apart; the rest is ErrorKind::other or told by its range.
constexpr KindOf kKinds[] = {
    {107019, timeout}, {107020, timeout}, {207020, timeout}, {507012, timeout}, {507014, timeout}, {507017, timeout},
    {507034, timeout}, {507046, timeout}, {507047, timeout}, {507048, timeout}, {507915, timeout},
    {200000, out_of_memory}, {207001, out_of_memory}, {207018, out_of_memory}, {245000, out_of_memory}, {300000, out_of_memory},
    {100000, invalid_argument}, {107000, invalid_argument}, {107001, invalid_argument}, {107003, invalid_argument},
    {107006, invalid_argument}, {107007, invalid_argument}, {107008, invalid_argument}, {107016, invalid_argument},
    {107017, invalid_argument}, {107018, invalid_argument}, {200002, invalid_argument}, {200003, invalid_argument},
    {200005, invalid_argument},
    {100024, not_supported}, {100026, not_supported}, {100029, not_supported}, {107027, not_supported},
    {107030, not_supported}, {200001, not_supported}, {200006, not_supported}, {207000, not_supported}, {207021, not_supported},
    {561003, not_supported},
    {107022, device_lost}, {500004, device_lost}, {507001, device_lost}, {507010, device_lost}, {507013, device_lost},
    {507053, device_lost}, {507054, device_lost}, {507055, device_lost}, {507056, device_lost}, {507057, device_lost},
    {507899, device_lost},
    {207004, unavailable}, {207006, unavailable}, {507008, unavailable}, {507033, unavailable}, {561107, unavailable},
    {561112, unavailable},
};

ErrorKind kind_of(int code) noexcept {
  for (const KindOf& k : kKinds) {
    if (k.code == code) return k.kind;
  }
  return code >= 161000 && code < 162000 ? invalid_argument : other;
}

const char* range_of(int code) noexcept {
  if (code >= 561000 && code < 562000) return "the operator failed inside";
  if (code >= 161000 && code < 162000) return "the operator does not accept these arguments";
  switch (code / 100000) {
    case 1: return "the call was not allowed as it was made";
    case 2: return "a resource is missing or unsupported";
    case 3: return "a limit of the system was reached";
    case 5: return "CANN or the device failed inside";
    default: return "CANN reported a failure";
  }
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
  text += ": error " + std::to_string(code) + " (" + info.name + "): " + info.cause;
  if (*info.hint != '\0') text += std::string("; ") + info.hint;
  text += '.';
  if (!message.empty()) text += "\nCANN: " + message;
  return text;
}

}  // namespace

ErrorInfo describe(int code) noexcept {
  for (const Entry& e : kEntries) {
    if (e.code == code && (e.family == "acl" || e.family == "aclnn")) {
      return {e.name, kind_of(code), *e.cause != '\0' ? e.cause : range_of(code), e.hint};
    }
  }
  return {"unknown error code", kind_of(code), range_of(code), ""};
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

void raise_unavailable(const std::string& reason, int code) { throw NPUUnavailableError(code, "No npu can be used: " + reason); }

}  // namespace cann

// The place of the throw says nothing to users: the function that failed is in the message.
NPUError::NPUError(int code, std::string message)
    : c10::AcceleratorError({"NPUError", "csrc/cann", 0}, code, std::move(message)) {}

const char* NPUError::name() const noexcept { return code() == 0 ? "" : cann::describe(code()).name; }

}  // namespace torch_npu
