#include "softcann/core/version.h"

#include "softcann/api_ascendcl.h"

const char softcannRelease[32] = CANN_VERSION;

namespace softcann {

// Its presence is how a client tells softcann from a card.
const char* api::softcannVersion() { return SOFTCANN_VERSION; }

}  // namespace softcann
