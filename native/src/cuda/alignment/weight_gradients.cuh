// What the weight gradients of a trainable projector need beside the products:
//   db = column sums of dz, dv, du
// and for LayerNorm folded into W1, from G = du^T xhat [P,D]:
//   dW1 = G diag(gamma) + db1 beta^T,  dgamma_d = sum_p W1_pd G_pd,  dbeta_d = sum_p W1_pd db1_p
// Sums over many rows go in segments, which a second kernel adds in order.
#pragma once

#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/tensor/rows.h"

namespace sightline::cuda {

constexpr int kSegmentRows = 128;
constexpr int kSegmentColumns = 256;  // 32 lanes of eight columns

// The rows and columns of a matrix that a block sums.
struct Segment {
  int index, begin, first_column;  // of the segments of rows, its first row

  SL_DEVICE explicit Segment(int padded_columns) {
    const int column_blocks = ceil_div(padded_columns, kSegmentColumns);
    index = ptx::block_id() / column_blocks;
    begin = index * kSegmentRows;
    first_column = ptx::block_id() % column_blocks * kSegmentColumns;
  }

  static int64_t blocks(int rows, int padded_columns) {
    return checked_product(ceil_div(rows, kSegmentRows), ceil_div(padded_columns, kSegmentColumns));
  }
};

// Sums x over the block's eight warps (rows) and stores [1, 256] at `out` (columns below `limit`).
SL_DEVICE void store_segment(float (&x)[8], float* out, int first_column, int limit) {
  float* shared = reinterpret_cast<float*>(ptx::shared_memory());  // [8][256]
  const int lane = ptx::thread_id() % 32, warp = ptx::thread_id() / 32;
  ptx::sync_threads();  // an earlier sum may still be read
  store8(shared + warp * kSegmentColumns + 8 * lane, x);
  ptx::sync_threads();
  const int column = ptx::thread_id();
  float sum = shared[column];
#pragma unroll
  for (int w = 1; w < 8; ++w) sum += shared[w * kSegmentColumns + column];
  if (first_column + column < limit) out[first_column + column] = sum;
}

// partial[segment][column] = sum of the segment's rows
template <class T>
struct ColumnSumsKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = 8 * kSegmentColumns * 4;

  struct Params {
    const T* in;
    int64_t stride;
    int rows, padded_columns;
    float* partial;
  };

  static int64_t blocks(const Params& p) { return Segment::blocks(p.rows, p.padded_columns); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const Segment segment(p.padded_columns);
    const int column = segment.first_column + 8 * (ptx::thread_id() % 32);
    float sum[8] = {};
    for (int row = segment.begin + ptx::thread_id() / 32;
         row < segment.begin + kSegmentRows && row < p.rows; row += 8) {
      if (column >= p.padded_columns) break;
      float x[8];
      load8(p.in + row * p.stride + column, x);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum[i] += x[i];
    }
    store_segment(sum, p.partial + static_cast<int64_t>(segment.index) * p.padded_columns,
                  segment.first_column, p.padded_columns);
  }
};

// dW1 and the segments' parts of dgamma and dbeta.
struct LayerNormWeightGradientKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = 8 * kSegmentColumns * 4;

  struct Params {
    const float* g;      // [rows, padded_columns]
    const float* w1;     // the same shape
    const float* db1;    // [rows]
    const float* gamma;  // [padded_columns]
    const float* beta;
    int rows, padded_columns;
    UserRows dw1;
    bool accumulate;
    float* partial_gamma;  // [segments][padded_columns]
    float* partial_beta;
  };

  static int64_t blocks(const Params& p) { return Segment::blocks(p.rows, p.padded_columns); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const Segment segment(p.padded_columns);
    const int column = segment.first_column + 8 * (ptx::thread_id() % 32);
    float sum_gamma[8] = {}, sum_beta[8] = {};
    if (column < p.padded_columns) {
      float gamma[8], beta[8];
      load8(p.gamma + column, gamma);
      load8(p.beta + column, beta);
      for (int row = segment.begin + ptx::thread_id() / 32;
           row < segment.begin + kSegmentRows && row < p.rows; row += 8) {
        const int64_t at = static_cast<int64_t>(row) * p.padded_columns + column;
        float g[8], w[8], dw[8];
        load8(p.g + at, g);
        load8(p.w1 + at, w);
        const float db1 = p.db1[row];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          sum_gamma[i] = fmaf(w[i], g[i], sum_gamma[i]);
          sum_beta[i] = fmaf(w[i], db1, sum_beta[i]);
          dw[i] = fmaf(g[i], gamma[i], db1 * beta[i]);
        }
        p.dw1.put(row, column, dw, p.accumulate);
      }
    }
    const int64_t out = static_cast<int64_t>(segment.index) * p.padded_columns;
    store_segment(sum_gamma, p.partial_gamma + out, segment.first_column, p.padded_columns);
    store_segment(sum_beta, p.partial_beta + out, segment.first_column, p.padded_columns);
  }
};

// out[column] = scale sum_segments partial[segment][column] (+ out); `plain` takes the sum alone.
struct ReduceSegmentsKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = 0;

  struct Params {
    const float* partial;
    int segments, padded_columns;
    const float* scale;  // or null: 1
    UserRows out;        // one row
    bool accumulate;
    float* plain;  // [padded_columns] or null
  };

  static int blocks(const Params& p) { return ceil_div(p.padded_columns, 8 * kThreads); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int column = 8 * (ptx::block_id() * kThreads + ptx::thread_id());
    if (column >= p.padded_columns) return;
    float sum[8] = {};
    for (int segment = 0; segment < p.segments; ++segment) {
      float x[8];
      load8(p.partial + static_cast<int64_t>(segment) * p.padded_columns + column, x);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum[i] += x[i];
    }
    const float scale = p.scale != nullptr ? *p.scale : 1.f;
#pragma unroll
    for (int i = 0; i < 8; ++i) sum[i] *= scale;
    if (p.plain != nullptr) store8(p.plain + column, sum);
    p.out.put(0, column, sum, p.accumulate);
  }
};

}  // namespace sightline::cuda
