// torch's packages lack this header, which torch/csrc/profiler/combined_traceback.h includes.
#pragma once

#include <cstdint>
#include <string>

namespace torch {
namespace unwind {

struct Frame {
  std::string filename;
  std::string funcname;
  uint64_t lineno;
};

}  // namespace unwind
}  // namespace torch
