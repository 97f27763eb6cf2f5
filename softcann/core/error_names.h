// Names of CANN's codes, from abi/errors.csv.
#pragma once

namespace softcann {

// "ACL_ERROR_RT_PARAM_INVALID", or nullptr for a code that is not in the table. `family`: "acl", "aclnn" or "hccl".
[[gnu::visibility("default")]] const char* error_name(int code, const char* family);

}  // namespace softcann
