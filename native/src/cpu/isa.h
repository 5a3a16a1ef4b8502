// Which kernel table this process runs: the best that CPUID allows, or the one that the environment
// variable SIGHTLINE_ISA=generic|avx2|avx512|avx512bf16 names. Decided at first use.
#pragma once

#include "cpu/kernels/kernels.h"
#include "sightline/sightline.h"

namespace sightline::cpu {

// Null if SIGHTLINE_ISA names an unknown path or one that this CPU lacks; then isa_cause() says so.
const Kernels* kernels();
const char* isa_cause();  // "" if kernels() is not null

// *out = kernels(), or SL_UNAVAILABLE with the cause.
sl_status require_kernels(const Kernels** out);

// Replaces the table, for tests that run one instantiation's logic on emulated operations; null
// restores it.
void override_kernels(const Kernels* table);

}  // namespace sightline::cpu
