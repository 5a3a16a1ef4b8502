// The tables of the object files compiled for one instruction set each.
#pragma once

#include "cpu/elementwise/elementwise.h"

namespace sightline::cpu {

extern const ElementwiseKernels kElementwiseGeneric;
#if defined(__x86_64__)
extern const ElementwiseKernels kElementwiseAvx2;
extern const ElementwiseKernels kElementwiseAvx512;
#endif

}  // namespace sightline::cpu
