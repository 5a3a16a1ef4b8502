// Element types of device code and the markers of its functions.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "common/arena.h"
#include "common/host_device.h"
#include "common/views.h"

#define SL_DEVICE __device__ __forceinline__

namespace sightline {

using Bf16 = __nv_bfloat16;

template <class T>
inline constexpr DType kDType = DType::kFloat32;
template <>
inline constexpr DType kDType<Bf16> = DType::kBFloat16;

SL_HOST_DEVICE float to_float(float x) { return x; }
SL_HOST_DEVICE float to_float(Bf16 x) { return __bfloat162float(x); }

// Round to nearest even.
template <class T>
SL_HOST_DEVICE T from_float(float x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else {
    return __float2bfloat16_rn(x);
  }
}

// The value that a T holds after rounding x.
template <class T>
SL_HOST_DEVICE float rounded(float x) {
  return to_float(from_float<T>(x));
}

constexpr int round_up(int value, int multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr int ceil_div(int value, int divisor) { return (value + divisor - 1) / divisor; }

}  // namespace sightline
