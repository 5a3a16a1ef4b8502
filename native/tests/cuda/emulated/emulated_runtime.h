#pragma once

#include "cuda/runtime/device.h"

namespace emu {

// The GPU that emulated launches believe in; tests change it.
sightline::cuda::Device& device();

}  // namespace emu
