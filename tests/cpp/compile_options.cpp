// aclSetCompileopt and friends keep, check and hand back options; events that nobody listens to are accepted.
#include <cstring>

#include "acl/acl_op_compiler.h"
#include "acl/acl_rt.h"
#include "check.h"
#include "profiling/aprof_pub.h"

int main() {
  char value[64];
  CHECK(aclGetCompileoptSize(ACL_OP_JIT_COMPILE) == strlen("disable") + 1);
  CHECK(aclGetCompileopt(ACL_OP_JIT_COMPILE, value, sizeof(value)) == ACL_SUCCESS);
  CHECK(strcmp(value, "disable") == 0);
  CHECK(aclSetCompileopt(ACL_OP_JIT_COMPILE, "enable") == ACL_SUCCESS);
  CHECK(aclGetCompileopt(ACL_OP_JIT_COMPILE, value, aclGetCompileoptSize(ACL_OP_JIT_COMPILE)) == ACL_SUCCESS);
  CHECK(strcmp(value, "enable") == 0);

  CHECK(aclSetCompileopt(ACL_OP_JIT_COMPILE, "maybe") == ACL_ERROR_INVALID_PARAM);
  CHECK(strstr(aclGetRecentErrMsg(), "ACL_OP_JIT_COMPILE is \"maybe\", allowed are enable|disable") != nullptr);
  CHECK(aclSetCompileopt(ACL_OP_JIT_COMPILE, nullptr) == ACL_ERROR_INVALID_PARAM);
  CHECK(aclSetCompileopt(static_cast<aclCompileOpt>(99), "x") == ACL_ERROR_INVALID_PARAM);
  CHECK(aclGetCompileopt(ACL_OP_JIT_COMPILE, value, 3) == ACL_ERROR_INVALID_PARAM);
  CHECK(strstr(aclGetRecentErrMsg(), "length is 3") != nullptr);

  CHECK(MsprofRegisterCallback(1, nullptr) == MSPROF_ERROR_NONE);
  CHECK(MsprofGetHashId("add", 3) == MsprofGetHashId("add", 3));
  CHECK(MsprofGetHashId("add", 3) != MsprofGetHashId("mul", 3));
  CHECK(MsprofSysCycleTime() <= MsprofSysCycleTime());
  return check_summary();
}
