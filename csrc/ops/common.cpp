#include "ops/common.h"

#include <sstream>

#include "cann/loader.h"
#include "launch/launch.h"
#include "ops/fallback.h"

namespace torch_npu::ops {

void DeviceScope::mixed(c10::Device other) const {
  TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two devices, npu:",
              static_cast<int>(found_), " and ", other, "! Move them to one device first, for example with .to('npu:",
              static_cast<int>(found_), "')");
}

void note_undocumented(const launch::AclnnFunction& f, int parameter, at::ScalarType dtype) {
  std::ostringstream text;
  text << f.name << " takes ";
  const char* separator = "";
  for (int i = 0; i < static_cast<int>(at::ScalarType::NumOptions); ++i) {
    if (!(f.dtypes[parameter] >> i & 1)) continue;
    text << separator << launch::dtype_name(static_cast<at::ScalarType>(i));
    separator = ", ";
  }
  text << " for " << f.parameters[parameter] << ", not " << launch::dtype_name(dtype);
  explain_next_fallback("for these dtypes", text.str());
}

void note_absent(const launch::AclnnFunction& f) { explain_next_fallback("with this CANN", cann::absence(f.name, f.since)); }

}  // namespace torch_npu::ops
