// Hooks by which a client of libopapi.so asks for executors to be cached and for its thread-local memory pool. Clients call them
// around every operator if they find them. The answer is "no caching": a client that wants speed makes its executors repeatable.
#include "softcann/api_nnopbase.h"

namespace softcann {

bool api::CanUsePTACache(const char* api) { return false; }
aclOpExecutor* api::PTAGetExecCache(uint64_t hash, uint64_t* workspaceSize) { return nullptr; }
aclOpExecutor* api::PTAFindExecCache(uint8_t* buf, size_t len, uint64_t* workspaceSize) { return nullptr; }
void api::InitPTACacheThreadLocal() {}
void api::UnInitPTACacheThreadLocal() {}
void api::SetPTAHashKey(uint64_t hash) {}
void api::SetPTACacheHashKey(uint8_t* key, size_t len) {}
void api::AddTensorAddrToCachedList(void* addr) {}
int api::InitHugeMemThreadLocal(void* arg, bool sync) { return 0; }
void api::UnInitHugeMemThreadLocal(void* arg, bool sync) {}
void api::ReleaseHugeMem(void* arg, bool sync) {}

}  // namespace softcann
