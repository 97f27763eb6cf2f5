// What the CANN in use lacks of what the adapter offers, for the doctor.
#pragma once

#include <string>
#include <vector>

#include "cann/export.h"

namespace torch_npu::cann {

struct Lack {
  std::string feature;  // what does not work, or works differently, and how
  std::string reason;   // absence() of the first function that is missing
};

TORCH_NPU_API std::vector<Lack> lacking_features();

}  // namespace torch_npu::cann
