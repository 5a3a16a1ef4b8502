// The C ABI over the CUDA kernels as the emulator runs them: a test links src/api and gets this
// table for every device, its tensors being host memory.
#pragma once

#include "api/backend.h"

namespace emu {

// Fills the entries under test.
sightline::Backend& backend();

}  // namespace emu
