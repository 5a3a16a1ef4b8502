#pragma once

#include "cuda/runtime/device.h"

namespace emu {

// The GPU that emulated launches believe in; tests change it.
sightline::cuda::Device& device();

// Whether streams say that they are being captured; tests change it.
bool& capturing();

}  // namespace emu
