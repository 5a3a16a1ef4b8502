#include "cpu/elementwise/elementwise.inc"

const sightline::cpu::ElementwiseKernels sightline::cpu::kElementwiseGeneric = kElementwise;
