// Creation of a projector handle: weights folded, converted, padded to multiples of 8 with zeros,
// and transposed, so that every product of both passes is K-major.
#pragma once

#include "cuda/alignment/block_sum.cuh"
#include "cuda/ptx/griddep.cuh"
#include "cuda/tensor/rows.h"

namespace sightline::cuda {

// One block per row p of W1 [P,D]:
//   W1' = W1 gamma rounded to T,  weight_sum[p] = row sum of the rounded W1',
//   b1'[p] = b1[p] + sum_d W1[p,d] beta[d]
// The sum is over rounded values, so that h W1'^T - mean weight_sum = (h - mean) W1'^T exactly.
template <class T>
struct FoldLayerNormKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = kThreads / 32 * 4;

  struct Params {
    UserRows w1, b1, gamma, beta;  // vectors are one row
    int rows, padded_rows, padded_columns;
    T* folded;           // [padded_rows, padded_columns]
    float* plain;        // the same shape: W1 itself, or null
    float* weight_sum;   // [padded_rows]
    float* folded_bias;  // [padded_rows]
  };

  static int blocks(const Params& p) { return p.padded_rows; }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int row = ptx::block_id();
    const bool real = row < p.rows;
    const int64_t at = static_cast<int64_t>(row) * p.padded_columns;
    float sum = 0.f, dot = 0.f;
    for (int column = 8 * ptx::thread_id(); column < p.padded_columns; column += 8 * kThreads) {
      float w[8] = {}, gamma[8], beta[8], folded[8];
      if (real) p.w1.load(row, column, w);
      p.gamma.load(0, column, gamma);
      p.beta.load(0, column, beta);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        folded[i] = rounded<T>(w[i] * gamma[i]);
        sum += folded[i];
        dot = fmaf(w[i], beta[i], dot);
      }
      store8(p.folded + at + column, folded);
      if (p.plain != nullptr) store8(p.plain + at + column, w);
    }
    float* scratch = reinterpret_cast<float*>(ptx::shared_memory());
    sum = block_sum<kThreads>(sum, scratch);
    dot = block_sum<kThreads>(dot, scratch);
    if (ptx::thread_id() == 0) {
      float bias[8] = {};
      if (real) p.b1.load(0, row / 8 * 8, bias);
      float own = 0.f;
#pragma unroll
      for (int i = 0; i < 8; ++i) own = row % 8 == i ? bias[i] : own;
      p.weight_sum[row] = sum;
      p.folded_bias[row] = own + dot;
    }
  }
};

// Converts a caller's matrix to T with zero padding.
template <class T>
struct ConvertKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = 0;

  struct Params {
    UserRows in;
    int rows, padded_rows, padded_columns;
    T* out;
  };

  static int blocks(const Params& p) { return p.padded_rows; }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int row = ptx::block_id();
    for (int column = 8 * ptx::thread_id(); column < p.padded_columns; column += 8 * kThreads) {
      float x[8] = {};
      if (row < p.rows) p.in.load(row, column, x);
      store8(p.out + static_cast<int64_t>(row) * p.padded_columns + column, x);
    }
  }
};

// out[c][r] = in[r][c]
template <class T>
struct TransposeKernel {
  static constexpr int kTile = 32;
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = kTile * (kTile + 1) * 4;

  struct Params {
    const T* in;
    T* out;
    int rows, columns;
  };

  static int64_t blocks(const Params& p) {
    return checked_product(ceil_div(p.rows, kTile), ceil_div(p.columns, kTile));
  }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int tiles = ceil_div(p.columns, kTile);
    const int row0 = ptx::block_id() / tiles * kTile, column0 = ptx::block_id() % tiles * kTile;
    const int x = ptx::thread_id() % kTile, y0 = ptx::thread_id() / kTile;
    T* tile = reinterpret_cast<T*>(ptx::shared_memory());
    for (int y = y0; y < kTile; y += kThreads / kTile) {
      if (row0 + y < p.rows && column0 + x < p.columns) {
        tile[y * (kTile + 1) + x] = p.in[static_cast<int64_t>(row0 + y) * p.columns + column0 + x];
      }
    }
    ptx::sync_threads();
    for (int y = y0; y < kTile; y += kThreads / kTile) {
      if (column0 + y < p.columns && row0 + x < p.rows) {
        p.out[static_cast<int64_t>(column0 + y) * p.rows + row0 + x] = tile[x * (kTile + 1) + y];
      }
    }
  }
};

}  // namespace sightline::cuda
