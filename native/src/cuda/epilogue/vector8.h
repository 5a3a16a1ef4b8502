// Eight elements of a row at a time, between memory of any element type and fp32 registers.
#pragma once

#include <cstring>

#include "cuda/types.cuh"

namespace sightline::cuda {

// 16 bytes of 16-bit elements, or 32 of fp32; aligned to 16 bytes.
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
    for (int i = 0; i < 4; ++i) {
      if constexpr (kDType<T> == DType::kBFloat16) {
        // A bf16 is the upper half of an fp32.
        const uint32_t low = words[i] << 16, high = words[i] & 0xffff0000u;
        memcpy(&x[2 * i], &low, 4);
        memcpy(&x[2 * i + 1], &high, 4);
      } else {
        const __half_raw low{static_cast<unsigned short>(words[i])};
        const __half_raw high{static_cast<unsigned short>(words[i] >> 16)};
        x[2 * i] = __half2float(low);
        x[2 * i + 1] = __half2float(high);
      }
    }
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
    for (int i = 0; i < 4; ++i) {
      if constexpr (kDType<T> == DType::kBFloat16) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
        memcpy(&words[i], &pair, 4);
      } else {
        const __half2 pair = __floats2half2_rn(x[2 * i], x[2 * i + 1]);
        memcpy(&words[i], &pair, 4);
      }
    }
    *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

// A caller's [batch, rows, columns] tensor: any row and batch strides, any number of columns. Rows
// count through the batches. `vector` promises that columns are a multiple of 8 and every row
// starts on 16 bytes; else elements move one by one, and columns past the end read as zero.
struct UserRows {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  bool vector = false;
  int columns = 0;
  uint32_t rows_per_batch = 1;
  int64_t row_stride = 0, batch_stride = 0;

  SL_HOST_DEVICE int64_t offset(uint32_t row) const {
    const uint32_t batch = row / rows_per_batch;
    return batch * batch_stride + (row - batch * rows_per_batch) * row_stride;
  }

  SL_HOST_DEVICE void load(uint32_t row, int column, float (&x)[8]) const {
    if (dtype == DType::kFloat32) {
      load_as<float>(row, column, x);
    } else if (dtype == DType::kBFloat16) {
      load_as<Bf16>(row, column, x);
    } else {
      load_as<Fp16>(row, column, x);
    }
  }

  SL_HOST_DEVICE void store(uint32_t row, int column, const float (&x)[8]) const {
    if (dtype == DType::kFloat32) {
      store_as<float>(row, column, x);
    } else if (dtype == DType::kBFloat16) {
      store_as<Bf16>(row, column, x);
    } else {
      store_as<Fp16>(row, column, x);
    }
  }

  template <class T>
  SL_HOST_DEVICE void load_as(uint32_t row, int column, float (&x)[8]) const {
    const T* from = static_cast<const T*>(data) + offset(row) + column;
    if (vector) {
      load8(from, x);
      return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = column + i < columns ? to_float(from[i]) : 0.f;
  }

  template <class T>
  SL_HOST_DEVICE void store_as(uint32_t row, int column, const float (&x)[8]) const {
    T* to = static_cast<T*>(data) + offset(row) + column;
    if (vector) {
      store8(to, x);
      return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (column + i < columns) to[i] = from_float<T>(x[i]);
    }
  }
};

}  // namespace sightline::cuda
