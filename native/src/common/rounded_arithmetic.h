// Single operations rounded on their own, never contracted into a fused multiply-add, so that both
// backends compute the same bits. (nvcc contracts unless told so by intrinsics; host code that
// includes this is compiled with -ffp-contract=off.)
#pragma once

#include "common/host_device.h"

namespace sightline {

SL_HOST_DEVICE float multiply_rn(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
SL_HOST_DEVICE float add_rn(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
SL_HOST_DEVICE float subtract_rn(float a, float b) { return add_rn(a, -b); }
SL_HOST_DEVICE float divide_rn(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
SL_HOST_DEVICE float root_rn(float a) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(a);
#else
  return __builtin_sqrtf(a);
#endif
}

}  // namespace sightline
