// Four neighbouring elements of a tensor, of which `count` exist; 128 bits at a time (64 of 16-bit
// elements) where the tensor's address allows.
#pragma once

#include "common/adamw_math.h"
#include "cuda/adamw/table.cuh"

namespace sightline::cuda {

template <class T>
SL_DEVICE void load4_as(const void* data, int64_t at, int count, bool vector, float (&x)[4]) {
  const T* from = static_cast<const T*>(data) + at;
  if (vector && count == 4) {
    if constexpr (sizeof(T) == 4) {
      const float4 v = *reinterpret_cast<const float4*>(from);
      x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else {
      const uint2 v = *reinterpret_cast<const uint2*>(from);
      T lanes[4];
      memcpy(lanes, &v, 8);
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = to_float(lanes[i]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = i < count ? to_float(from[i]) : 0.f;
}
SL_DEVICE void load4(const void* data, DType dtype, int64_t at, int count, bool vector,
                     float (&x)[4]) {
  if (dtype == DType::kFloat32) {
    load4_as<float>(data, at, count, vector, x);
  } else {
    load4_as<Bf16>(data, at, count, vector, x);
  }
}

template <class T>
SL_DEVICE void store4_as(void* data, int64_t at, int count, bool vector, const float (&x)[4]) {
  T* to = static_cast<T*>(data) + at;
  if (vector && count == 4) {
    if constexpr (sizeof(T) == 4) {
      *reinterpret_cast<float4*>(to) = make_float4(x[0], x[1], x[2], x[3]);
    } else {
      T lanes[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) lanes[i] = from_float<T>(x[i]);
      uint2 v;
      memcpy(&v, lanes, 8);
      *reinterpret_cast<uint2*>(to) = v;
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < count) to[i] = from_float<T>(x[i]);
  }
}
SL_DEVICE void store4(void* data, DType dtype, int64_t at, int count, bool vector,
                      const float (&x)[4]) {
  if (dtype == DType::kFloat32) {
    store4_as<float>(data, at, count, vector, x);
  } else {
    store4_as<Bf16>(data, at, count, vector, x);
  }
}

// Four bf16 parameters and their remainders, as masters.
SL_DEVICE void load4_joined(const AdamwEntry& entry, int64_t at, int count, float (&x)[4]) {
  uint16_t parameter[4] = {};
  int16_t remainder[4] = {};
  const uint16_t* high = static_cast<const uint16_t*>(entry.param) + at;
  const int16_t* low = entry.remainder + at;
  if (entry.vector && count == 4) {
    const uint2 a = *reinterpret_cast<const uint2*>(high), b = *reinterpret_cast<const uint2*>(low);
    memcpy(parameter, &a, 8);
    memcpy(remainder, &b, 8);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) parameter[i] = high[i], remainder[i] = low[i];
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = join_master(parameter[i], remainder[i]);
}

SL_DEVICE void store4_split(const AdamwEntry& entry, int64_t at, int count, const float (&x)[4]) {
  uint16_t parameter[4];
  int16_t remainder[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) split_master(x[i], parameter[i], remainder[i]);
  uint16_t* high = static_cast<uint16_t*>(entry.param) + at;
  int16_t* low = entry.remainder + at;
  if (entry.vector && count == 4) {
    uint2 a, b;
    memcpy(&a, parameter, 8);
    memcpy(&b, remainder, 8);
    *reinterpret_cast<uint2*>(high) = a;
    *reinterpret_cast<uint2*>(low) = b;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < count) high[i] = parameter[i], low[i] = remainder[i];
  }
}

}  // namespace sightline::cuda
