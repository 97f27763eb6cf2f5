// Physical memory behind mappings, for those who end mappings in other ways than aclrtUnmapMem.
#pragma once

namespace softcann::runtime {

void drop_physical_reference(void* owner);
void retire_physical_memory_of(int device);

}  // namespace softcann::runtime
