// Eight elements of a row at a time, between memory of any element type and fp32 registers.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

// Two neighbours in one word, the first in the lower half.
SL_HOST_DEVICE uint32_t pack2(float x0, float x1) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(x0, x1);
  uint32_t word;
  memcpy(&word, &pair, 4);
  return word;
}

SL_HOST_DEVICE void unpack2(uint32_t word, float& x0, float& x1) {
  // A bf16 is the upper half of an fp32.
  const uint32_t low = word << 16, high = word & 0xffff0000u;
  memcpy(&x0, &low, 4);
  memcpy(&x1, &high, 4);
}

// 16 bytes of bf16, or 32 of fp32; aligned to 16 bytes.
template <class T>
SL_HOST_DEVICE void load8(const T* from, float (&x)[8]) {
  if constexpr (sizeof(T) == 4) {
    const float4 low = reinterpret_cast<const float4*>(from)[0];
    const float4 high = reinterpret_cast<const float4*>(from)[1];
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
  } else {
    const uint4 packed = *reinterpret_cast<const uint4*>(from);
    const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) unpack2(words[i], x[2 * i], x[2 * i + 1]);
  }
}

template <class T>
SL_HOST_DEVICE void store8(T* to, const float (&x)[8]) {
  if constexpr (sizeof(T) == 4) {
    reinterpret_cast<float4*>(to)[0] = make_float4(x[0], x[1], x[2], x[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(x[4], x[5], x[6], x[7]);
  } else {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) words[i] = pack2(x[2 * i], x[2 * i + 1]);
    *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

// kCount neighbours, 2 or 8, aligned to as many bytes as they take, at most 16.
template <int kCount>
SL_HOST_DEVICE void load_floats(const float* from, float (&x)[kCount]) {
  static_assert(kCount == 2 || kCount == 8, "fragments hold two, rows eight");
  if constexpr (kCount == 8) {
    load8(from, x);
  } else {
    const float2 pair = *reinterpret_cast<const float2*>(from);
    x[0] = pair.x, x[1] = pair.y;
  }
}

}  // namespace sightline::cuda
