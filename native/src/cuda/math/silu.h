// SiLU and its derivative.
#pragma once

#include <cmath>

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

// sigmoid(x) = 1 / (1 + exp(-x)).  kFast: (1 + tanh(x / 2)) / 2 with the hardware's tanh (one
// instruction, relative error 2^-11), for results that are rounded to 16 bits.
template <bool kFast>
SL_HOST_DEVICE float sigmoid(float x) {
  if constexpr (kFast) {
#ifdef __CUDA_ARCH__
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(0.5f * x));
#else
    const float y = std::tanh(0.5f * x);
#endif
    return fmaf(0.5f, y, 0.5f);
  } else {
    return 1.f / (1.f + expf(-x));
  }
}

// silu(x) = x sigmoid(x)
template <bool kFast>
SL_HOST_DEVICE float silu(float x) {
  return x * sigmoid<kFast>(x);
}

// silu'(x) = s (1 + x (1 - s)),  s = sigmoid(x)
template <bool kFast>
SL_HOST_DEVICE float silu_gradient(float x) {
  const float s = sigmoid<kFast>(x);
  return s * fmaf(x, 1.f - s, 1.f);
}

}  // namespace sightline::cuda
