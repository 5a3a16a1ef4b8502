// What the CUDA driver and devices of this machine can do for this build.
#pragma once

#include "sightline/sightline.h"

namespace sightline::cuda {

// Never fails: with no driver, an old one, no device, or one without code in this build,
// `available` is 0 and the cause is named.
sl_status capabilities(sl_capability* out);

}  // namespace sightline::cuda
