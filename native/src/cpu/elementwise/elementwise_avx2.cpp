#include "cpu/elementwise/elementwise.inc"

const sightline::cpu::ElementwiseKernels sightline::cpu::kElementwiseAvx2 = kElementwise;
