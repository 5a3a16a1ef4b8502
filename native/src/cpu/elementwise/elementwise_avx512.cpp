#include "cpu/elementwise/elementwise.inc"

const sightline::cpu::ElementwiseKernels sightline::cpu::kElementwiseAvx512 = kElementwise;
