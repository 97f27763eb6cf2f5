// Host memory that devices may use.
#pragma once

#include <cstddef>

namespace softcann::runtime {

// Whether the range lies in memory of aclrtHostRegister.
bool is_registered_host_memory(const void* address, size_t bytes);

}  // namespace softcann::runtime
