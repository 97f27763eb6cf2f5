// The two-phase protocol: what an executor may and may not depend on, reuse with other addresses, results that decide their own size.
#include <cstring>
#include <thread>
#include <vector>

#include "acl/acl.h"
#include "aclnnop/aclnn_add.h"
#include "aclnnop/aclnn_cat.h"
#include "aclnnop/aclnn_nonzero.h"
#include "aclnnop/aclnn_index_select.h"
#include "aclnnop/aclnn_relu.h"
#include "check.h"

namespace {

aclrtStream stream;

bool message_has(const char* text) {
  const char* message = aclGetRecentErrMsg();
  const bool found = message != nullptr && std::strstr(message, text) != nullptr;
  if (!found) std::fprintf(stderr, "message: %s\n", message == nullptr ? "(none)" : message);
  return found;
}

// Floats on the device.
struct Buffer {
  explicit Buffer(std::vector<float> values) : count(values.size()) {
    CHECK(aclrtMalloc(&address, count * sizeof(float), ACL_MEM_MALLOC_HUGE_FIRST) == 0);
    CHECK(aclrtMemcpy(address, count * sizeof(float), values.data(), count * sizeof(float), ACL_MEMCPY_HOST_TO_DEVICE) == 0);
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { aclrtFree(address); }

  std::vector<float> read() const {
    std::vector<float> out(count);
    CHECK(aclrtMemcpy(out.data(), count * sizeof(float), address, count * sizeof(float), ACL_MEMCPY_DEVICE_TO_HOST) == 0);
    return out;
  }

  aclTensor* tensor() const {
    const int64_t size = static_cast<int64_t>(count);
    return aclCreateTensor(&size, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, &size, 1, address);
  }

  size_t count;
  void* address = nullptr;
};

using Values = std::vector<float>;

// Everything the client made is gone before phase 2 has run, and phase 2 is called by another thread.
void independent_of_client_objects() {
  Buffer a({1, 2, 3}), b({10, 20, 30}), out({0, 0, 0});
  float two = 2;
  aclTensor *ta = a.tensor(), *tb = b.tensor(), *to = out.tensor();
  aclScalar* alpha = aclCreateScalar(&two, ACL_FLOAT);
  uint64_t size = 99;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnAddGetWorkspaceSize(ta, tb, alpha, to, &size, &executor) == 0 && size == 0);
  aclDestroyTensor(ta);
  aclDestroyTensor(tb);
  aclDestroyTensor(to);
  aclDestroyScalar(alpha);
  std::thread([&] {
    CHECK(aclrtSetDevice(0) == 0);
    CHECK(aclnnAdd(nullptr, 0, executor, stream) == 0);
    CHECK(aclrtSynchronizeStream(stream) == 0);
  }).join();
  CHECK(out.read() == Values{21, 42, 63});
  CHECK(aclnnAdd(nullptr, 0, executor, stream) == ACLNN_ERR_PARAM_INVALID && message_has("was used already"));
  CHECK(aclnnRelu(nullptr, 0, nullptr, stream) == ACLNN_ERR_INNER_NULLPTR && message_has("aclnnRelu: executor is null"));
}

void repeatable() {
  Buffer a({1, -2, 3}), b({-1, 2, -3}), out1({0, 0, 0}), out2({0, 0, 0});
  aclTensor *ta = a.tensor(), *to = out1.tensor();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnReluGetWorkspaceSize(ta, to, &size, &executor) == 0);
  CHECK(aclSetTensorAddr(executor, 0, ta, b.address) == ACLNN_ERR_PARAM_INVALID && message_has("not repeatable"));
  CHECK(aclSetAclOpExecutorRepeatable(executor) == 0);
  // Submitted runs keep the addresses they were submitted with.
  CHECK(aclnnRelu(nullptr, 0, executor, stream) == 0);
  CHECK(aclSetInputTensorAddr(executor, 0, ta, b.address) == 0);
  CHECK(aclSetOutputTensorAddr(executor, 0, to, out2.address) == 0);
  CHECK(aclnnRelu(nullptr, 0, executor, stream) == 0);
  CHECK(aclrtSynchronizeStream(stream) == 0);
  CHECK(out1.read() == Values{1, 0, 3});
  CHECK(out2.read() == Values{0, 2, 0});
  CHECK(aclSetTensorAddr(executor, 1, to, out1.address) == 0);
  CHECK(aclnnRelu(nullptr, 0, executor, stream) == 0);
  CHECK(aclDestroyAclOpExecutor(executor) == 0);  // while it may still run
  CHECK(aclrtSynchronizeStream(stream) == 0);
  CHECK(out1.read() == Values{0, 2, 0});
  CHECK(aclDestroyAclOpExecutor(executor) == ACLNN_ERR_PARAM_INVALID);
  aclDestroyTensor(ta);
  aclDestroyTensor(to);
}

void wrong_address_updates() {
  Buffer a({1, 2, 3}), out({0, 0, 0}), small({0});
  aclTensor *ta = a.tensor(), *to = out.tensor();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnReluGetWorkspaceSize(ta, to, &size, &executor) == 0);
  CHECK(aclSetAclOpExecutorRepeatable(executor) == 0);
  CHECK(aclSetTensorAddr(executor, 2, ta, a.address) == ACLNN_ERR_PARAM_INVALID && message_has("index is 2; aclnnRelu has 2"));
  CHECK(aclSetInputTensorAddr(executor, 1, ta, a.address) == ACLNN_ERR_PARAM_INVALID);
  CHECK(aclSetTensorAddr(executor, 0, nullptr, a.address) == ACLNN_ERR_INNER_NULLPTR);
  int on_host[3];
  CHECK(aclSetTensorAddr(executor, 0, ta, on_host) != 0);
  CHECK(aclDestroyAclOpExecutor(executor) == 0);
  aclDestroyTensor(ta);
  aclDestroyTensor(to);
}

// Tensors may be described before there is memory for them.
void addresses_later() {
  Buffer a({-1, 2}), out({0, 0});
  const int64_t shape[] = {2};
  aclTensor* ta = aclCreateTensor(shape, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, shape, 1, nullptr);
  aclTensor* to = aclCreateTensor(shape, 1, ACL_FLOAT, nullptr, 0, ACL_FORMAT_ND, shape, 1, nullptr);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnReluGetWorkspaceSize(ta, to, &size, &executor) == 0);
  CHECK(aclSetAclOpExecutorRepeatable(executor) == 0);
  CHECK(aclnnRelu(nullptr, 0, executor, stream) == ACLNN_ERR_INNER_NULLPTR && message_has("has no device address"));
  CHECK(aclSetTensorAddr(executor, 0, ta, a.address) == 0 && aclSetTensorAddr(executor, 1, to, out.address) == 0);
  CHECK(aclnnRelu(nullptr, 0, executor, stream) == 0 && aclrtSynchronizeStream(stream) == 0);
  CHECK(out.read() == Values{0, 2});
  CHECK(aclDestroyAclOpExecutor(executor) == 0);
  aclDestroyTensor(ta);
  aclDestroyTensor(to);
}

void list_addresses() {
  Buffer a({1, 2}), b({3}), c({7, 8}), out({0, 0, 0});
  aclTensor* elements[] = {a.tensor(), b.tensor()};
  aclTensorList* list = aclCreateTensorList(elements, 2);
  aclTensor* to = out.tensor();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnCatGetWorkspaceSize(list, 0, to, &size, &executor) == 0);
  CHECK(aclSetAclOpExecutorRepeatable(executor) == 0);
  CHECK(aclnnCat(nullptr, 0, executor, stream) == 0 && aclrtSynchronizeStream(stream) == 0);
  CHECK(out.read() == Values{1, 2, 3});
  CHECK(aclSetDynamicInputTensorAddr(executor, 0, 0, list, c.address) == 0);
  CHECK(aclnnCat(nullptr, 0, executor, stream) == 0 && aclrtSynchronizeStream(stream) == 0);
  CHECK(out.read() == Values{7, 8, 3});
  CHECK(aclSetDynamicTensorAddr(executor, 0, 2, list, c.address) == ACLNN_ERR_PARAM_INVALID);
  CHECK(aclDestroyAclOpExecutor(executor) == 0);
  aclDestroyTensorList(list);
  aclDestroyTensor(to);
}

void size_from_data() {
  Buffer a({0, 5, 0, 7});
  void* memory = nullptr;
  CHECK(aclrtMalloc(&memory, 4 * sizeof(int64_t), ACL_MEM_MALLOC_HUGE_FIRST) == 0);
  const int64_t room[] = {4, 1};
  aclTensor* out = aclCreateTensor(room, 2, ACL_INT64, nullptr, 0, ACL_FORMAT_ND, room, 2, memory);
  aclTensor* ta = a.tensor();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnNonzeroGetWorkspaceSize(ta, out, &size, &executor) == 0);
  CHECK(aclnnNonzero(nullptr, 0, executor, stream) == 0 && aclrtSynchronizeStream(stream) == 0);
  int64_t* dims = nullptr;
  uint64_t n = 0;
  CHECK(aclGetViewShape(out, &dims, &n) == 0 && n == 2 && dims[0] == 2 && dims[1] == 1);
  delete[] dims;
  int64_t found[2];
  CHECK(aclrtMemcpy(found, sizeof(found), memory, sizeof(found), ACL_MEMCPY_DEVICE_TO_HOST) == 0 && found[0] == 1 && found[1] == 3);
  // A client that destroys its handle at once must not disturb the run.
  CHECK(aclnnNonzeroGetWorkspaceSize(ta, out, &size, &executor) == 0 && aclnnNonzero(nullptr, 0, executor, stream) == 0);
  aclDestroyTensor(out);
  aclDestroyTensor(ta);
  CHECK(aclrtSynchronizeStream(stream) == 0);
  aclrtFree(memory);
}

void refused() {
  Buffer a({1, 2, 3}), out({0, 0, 0});
  aclTensor *ta = a.tensor(), *to = out.tensor();
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  CHECK(aclnnReluGetWorkspaceSize(nullptr, to, &size, &executor) == ACLNN_ERR_PARAM_NULLPTR);
  CHECK(message_has("aclnnRelu: self is null; it is required"));
  CHECK(aclnnReluGetWorkspaceSize(ta, to, nullptr, &executor) == ACLNN_ERR_PARAM_NULLPTR && message_has("workspaceSize is null"));
  CHECK(aclnnReluGetWorkspaceSize(ta, to, &size, nullptr) == ACLNN_ERR_PARAM_NULLPTR && message_has("executor is null"));
  // An executor belongs to its operator.
  CHECK(aclnnReluGetWorkspaceSize(ta, to, &size, &executor) == 0);
  CHECK(aclnnAdd(nullptr, 0, executor, stream) == ACLNN_ERR_PARAM_INVALID && message_has("made by aclnnReluGetWorkspaceSize"));
  CHECK(aclDestroyAclOpExecutor(executor) == 0);
  // Freed memory.
  aclTensor* dangling;
  {
    Buffer gone({1, 2, 3});
    dangling = gone.tensor();
  }
  CHECK(aclnnReluGetWorkspaceSize(dangling, to, &size, &executor) != 0);
  aclDestroyTensor(dangling);
  aclDestroyTensor(ta);
  aclDestroyTensor(to);
}

// What goes wrong while computing is the stream's error, once.
void failing_kernel() {
  Buffer a({1, 2, 3}), out({0});
  void* memory = nullptr;
  const int64_t nine = 9, one[] = {1};
  CHECK(aclrtMalloc(&memory, sizeof(nine), ACL_MEM_MALLOC_HUGE_FIRST) == 0);
  CHECK(aclrtMemcpy(memory, sizeof(nine), &nine, sizeof(nine), ACL_MEMCPY_HOST_TO_DEVICE) == 0);
  aclTensor *ta = a.tensor(), *to = out.tensor();
  aclTensor* index = aclCreateTensor(one, 1, ACL_INT64, nullptr, 0, ACL_FORMAT_ND, one, 1, memory);
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  aclrtStream own = nullptr;
  CHECK(aclrtCreateStream(&own) == 0);
  CHECK(aclnnIndexSelectGetWorkspaceSize(ta, 0, index, to, &size, &executor) == 0);
  CHECK(aclnnIndexSelect(nullptr, 0, executor, own) == 0);
  CHECK(aclrtSynchronizeStream(own) == ACL_ERROR_RT_AICPU_EXCEPTION);
  CHECK(message_has("aclnnIndexSelect: index out of range"));
  aclrtDestroyStreamForce(own);
  for (aclTensor* t : {ta, to, index}) aclDestroyTensor(t);
  aclrtFree(memory);
}

}  // namespace

int main() {
  CHECK(aclInit(nullptr) == 0);
  CHECK(aclrtSetDevice(0) == 0);
  CHECK(aclrtCreateStream(&stream) == 0);
  independent_of_client_objects();
  repeatable();
  wrong_address_updates();
  addresses_later();
  list_addresses();
  size_from_data();
  refused();
  failing_kernel();
  CHECK(aclrtDestroyStream(stream) == 0);
  CHECK(aclrtResetDevice(0) == 0);
  CHECK(aclFinalize() == 0);
  return check_summary();
}
