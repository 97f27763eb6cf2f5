// Which CANN this process uses, and its libraries. Decided once, at the first question; opens nothing before that.
//
// 1. TORCH_NPU_BACKEND=cann|softcann. 2. CANN, if ASCEND_HOME_PATH or ASCEND_TOOLKIT_HOME names it or the loader finds
// libascendcl.so. 3. softcann, the software device in this package. A CANN that is there but broken is an error that
// names what is wrong: computing on softcann instead would go unnoticed.
#pragma once

#include <string>
#include <vector>

#include "cann/export.h"
#include "cann/symbol.h"

namespace torch_npu::cann {

enum class Backend { cann, softcann };

struct TORCH_NPU_API Installation {
  Backend backend;
  std::string reason;   // why this one: "ASCEND_HOME_PATH is set", ...
  std::string home;     // root of the tree; "" if only the loader path knows
  std::string problem;  // one sentence: what is wrong and what to do; "" if its runtime library could be opened
  std::string softcann; // softcann's version where it is softcann (of this package or not), else ""
};

struct TORCH_NPU_API LibraryState {
  std::string name;   // "libopapi.so"
  std::string path;   // file it was loaded from; "" if it was not
  std::string error;  // why it could not be opened
};

// The choice, with its runtime library opened. Never raises.
TORCH_NPU_API const Installation& installation();

// The libraries asked for so far.
TORCH_NPU_API std::vector<LibraryState> libraries();

// Address of an aclnn function, from where CANN would take it: custom operator packages first. The first raises; `since` is as in
// symbol.h, for its message.
TORCH_NPU_API void* find_aclnn(const char* name, const char* since);
TORCH_NPU_API void* find_aclnn_or_null(const char* name) noexcept;

// Whether the operator libraries could be opened at all.
TORCH_NPU_API bool has_operator_libraries() noexcept;

// "aclnnCdist is not in CANN 8.0.0 at /usr/local/Ascend: it came with CANN 9.0.0". Ends without a full stop.
TORCH_NPU_API std::string absence(const char* name, const char* since);
inline std::string absence(const SymbolBase& symbol) { return absence(symbol.name(), symbol.since()); }

// Directory of libtorch_npu.so.
std::string own_directory();

}  // namespace torch_npu::cann
