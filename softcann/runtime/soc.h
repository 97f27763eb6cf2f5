// What kind of card softcann says it is.
#pragma once

#include <cstddef>
#include <cstdint>

namespace softcann::runtime {

struct Soc {
  const char* prefix;  // of the name in SOFTCANN_SOC; the longest that fits counts
  int32_t architecture;
  int64_t cube_cores, vector_cores, ai_cpus;
  size_t l2_bytes, local_bytes;  // L2 cache; unified buffer of a vector core
  bool inf_nan, bf16;
};

const Soc& soc();

}  // namespace softcann::runtime
