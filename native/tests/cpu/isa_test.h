// Chooses the kernel table of a PER_ISA test: SIGHTLINE_ISA names it, "emulated" included.
#pragma once

#include <cstdlib>
#include <cstring>

#include "cpu/isa.h"

namespace sightline::cpu {

extern const Kernels kEmulatedKernels;

// Null, or why this path cannot run here. Call before anything uses kernels().
inline const char* isa_skip_reason() {
  const char* forced = std::getenv("SIGHTLINE_ISA");
  if (forced != nullptr && std::strcmp(forced, "emulated") == 0) {
    override_kernels(&kEmulatedKernels);
    return nullptr;
  }
  return kernels() != nullptr ? nullptr : isa_cause();
}

}  // namespace sightline::cpu
