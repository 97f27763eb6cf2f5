#include "softcann/api_ascendcl.h"

namespace softcann {

// Its presence is how a client tells softcann from a card.
const char* api::softcannVersion() { return SOFTCANN_VERSION; }

}  // namespace softcann
