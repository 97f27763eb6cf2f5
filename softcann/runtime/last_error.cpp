// The newest error code of a thread. Codes of operators (aclnn) have a family of their own and do not show here.
#include "softcann/api_ascendcl.h"
#include "softcann/core/error.h"
#include "softcann/core/error_names.h"

namespace softcann {

aclError api::aclrtPeekAtLastError(aclrtLastErrLevel level) {
  if (level != ACL_RT_THREAD_LEVEL) return ACL_ERROR_INVALID_PARAM;
  const int code = recent_code();
  return code != ACL_SUCCESS && error_name(code, "acl") != nullptr ? code : ACL_SUCCESS;
}

aclError api::aclrtGetLastError(aclrtLastErrLevel level) {
  const aclError code = api::aclrtPeekAtLastError(level);
  set_recent_code(ACL_SUCCESS);
  return code;
}

}  // namespace softcann
