// Adds two matrices on the device, with nothing but CANN's C interface: no Python, no torch.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "acl/acl.h"
#include "aclnnop/aclnn_add.h"

// Every call of CANN answers a code; what went wrong in words is asked for separately.
#define CHECK(call)                                                                             \
  do {                                                                                          \
    const int code = (call);                                                                    \
    if (code != 0) {                                                                            \
      const char* message = aclGetRecentErrMsg();                                               \
      std::fprintf(stderr, "%s failed with %d: %s\n", #call, code, message ? message : "(no message)"); \
      std::exit(1);                                                                             \
    }                                                                                           \
  } while (0)

constexpr int64_t kRows = 2, kColumns = 4;
constexpr size_t kBytes = kRows * kColumns * sizeof(float);

struct DeviceMatrix {
  void* data = nullptr;
  aclTensor* tensor = nullptr;

  explicit DeviceMatrix(const std::vector<float>& values) {
    CHECK(aclrtMalloc(&data, kBytes, ACL_MEM_MALLOC_HUGE_FIRST));
    CHECK(aclrtMemcpy(data, kBytes, values.data(), kBytes, ACL_MEMCPY_HOST_TO_DEVICE));
    const int64_t sizes[] = {kRows, kColumns};
    const int64_t strides[] = {kColumns, 1};
    tensor = aclCreateTensor(sizes, 2, ACL_FLOAT, strides, 0, ACL_FORMAT_ND, sizes, 2, data);
    CHECK(tensor == nullptr);
  }

  ~DeviceMatrix() {
    CHECK(aclDestroyTensor(tensor));
    CHECK(aclrtFree(data));
  }
};

void add(aclrtStream stream) {
  const std::vector<float> a = {0, 1, 2, 3, 4, 5, 6, 7}, b = {1, 1, 1, 1, 2, 2, 2, 2};
  DeviceMatrix x(a), y(b), sum(std::vector<float>(kRows * kColumns));
  float one = 1;
  aclScalar* alpha = aclCreateScalar(&one, ACL_FLOAT);
  CHECK(alpha == nullptr);

  // First phase: checks the arguments, says how much scratch memory it takes. Second phase: goes onto the stream.
  uint64_t workspace_size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnAddGetWorkspaceSize(x.tensor, y.tensor, alpha, sum.tensor, &workspace_size, &executor));
  void* workspace = nullptr;
  if (workspace_size > 0) CHECK(aclrtMalloc(&workspace, workspace_size, ACL_MEM_MALLOC_HUGE_FIRST));
  CHECK(aclnnAdd(workspace, workspace_size, executor, stream));
  CHECK(aclrtSynchronizeStream(stream));

  std::vector<float> result(kRows * kColumns);
  CHECK(aclrtMemcpy(result.data(), kBytes, sum.data, kBytes, ACL_MEMCPY_DEVICE_TO_HOST));
  for (size_t i = 0; i < result.size(); ++i) {
    std::printf("%g%c", result[i], (i + 1) % kColumns == 0 ? '\n' : ' ');
    if (result[i] != a[i] + b[i]) {
      std::fprintf(stderr, "element %zu: %g + %g is not %g\n", i, a[i], b[i], result[i]);
      std::exit(1);
    }
  }

  if (workspace != nullptr) CHECK(aclrtFree(workspace));
  CHECK(aclDestroyScalar(alpha));
}

int main() {
  CHECK(aclInit(nullptr));
  CHECK(aclrtSetDevice(0));
  aclrtStream stream = nullptr;
  CHECK(aclrtCreateStream(&stream));
  std::printf("device 0 of %s\n", aclrtGetSocName());
  add(stream);
  CHECK(aclrtDestroyStream(stream));
  CHECK(aclrtResetDevice(0));
  CHECK(aclFinalize());
  std::puts("ok");
}
