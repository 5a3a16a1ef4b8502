// LayerNorm statistics of hidden states, and the rows that must be normalised before the product.
//
//   mean = sum h / D,  rstd = 1 / sqrt(sum (h - mean)^2 / D + eps)   fp32, two passes over the row
//   xhat = rstd (h - mean)                       rounded to the element type of the products
//
// Folding LayerNorm into the product subtracts mean times a row sum from an fp32 sum that is larger
// than the result by |mean| / sigma: at 64 that costs 6 of fp32's 24 bits, still below the rounding
// of 16-bit operands. Beyond it a block of 128 rows is normalised first: an alternate block.
#pragma once

#include "cuda/alignment/backward_epilogues.cuh"
#include "cuda/alignment/block_sum.cuh"
#include "cuda/alignment/cosine_epilogue.cuh"
#include "cuda/gemm/problem.h"
#include "cuda/ptx/griddep.cuh"

namespace sightline::cuda {

constexpr float kFoldLimit = 64.f;  // largest |mean| rstd that the fold takes

// scalars: what the end of the chain multiplies by.
struct Scalars {
  float inverse_weight;  // 1 / sum of token weights, 0 if the sum is 0
  float scale;           // grad_scale * inverse_weight
};

// One warp per row; a last block sums the token weights.
template <class T>
struct RowStatisticsKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kRows = kThreads / 32;
  static constexpr int kSharedBytes = kRows * 4;

  struct Params {
    UserRows hidden;
    int64_t first_row;
    int rows, columns, padded_columns;
    float epsilon;
    RowStatistics* statistics;
    T* normalised;  // [rows, padded_columns]: every row is normalised first; or null
    int64_t normalised_stride;
    // The scalars, computed by an extra block if not null.
    Scalars* scalars;
    CosineOutputs weights;
    int64_t tokens;
    const float* grad_scale;
  };

  static int row_blocks(const Params& p) { return ceil_div(p.rows, kRows); }
  static int blocks(const Params& p) { return row_blocks(p) + (p.scalars != nullptr ? 1 : 0); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    if (ptx::block_id() * kRows >= p.rows) {
      scalars(p);
      return;
    }
    const int lane = ptx::thread_id() % 32;
    const int row = ptx::block_id() * kRows + ptx::thread_id() / 32;
    if (row >= p.rows) return;
    const auto token = static_cast<uint32_t>(p.first_row + row);
    float sum = 0.f;
    for (int column = 8 * lane; column < p.columns; column += 256) {
      float h[8];
      p.hidden.load(token, column, h);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum += h[i];
    }
    const float mean = warp_sum(sum) / static_cast<float>(p.columns);
    float squares = 0.f;
    for (int column = 8 * lane; column < p.columns; column += 256) {
      float h[8];
      p.hidden.load(token, column, h);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float centred = column + i < p.columns ? h[i] - mean : 0.f;
        squares = fmaf(centred, centred, squares);
      }
    }
    const float variance = warp_sum(squares) / static_cast<float>(p.columns);
    const RowStatistics statistics{mean, 1.f / sqrtf(variance + p.epsilon)};
    if (lane == 0) p.statistics[row] = statistics;
    if (p.normalised != nullptr) {
      normalise(p.hidden, token, p.columns, p.padded_columns, statistics,
                p.normalised + row * p.normalised_stride, lane);
    }
  }

  static SL_DEVICE void normalise(const UserRows& hidden, uint32_t token, int columns,
                                  int padded_columns, const RowStatistics& s, T* out, int lane) {
    for (int column = 8 * lane; column < padded_columns; column += 256) {
      float h[8];
      hidden.load(token, column, h);
#pragma unroll
      for (int i = 0; i < 8; ++i) h[i] = column + i < columns ? s.rstd * (h[i] - s.mean) : 0.f;
      store8(out + column, h);
    }
  }

  static SL_DEVICE void scalars(const Params& p) {
    float sum = 0.f;
    if (p.weights.token_weight != nullptr) {
      for (int64_t i = ptx::thread_id(); i < p.tokens; i += kThreads) {
        sum += p.weights.weight(static_cast<int>(i));
      }
      sum = block_sum<kThreads>(sum, reinterpret_cast<float*>(ptx::shared_memory()));
    } else {
      sum = static_cast<float>(p.tokens);
    }
    if (ptx::thread_id() == 0) {
      const float inverse = sum == 0.f ? 0.f : 1.f / sum;
      const float upstream = p.grad_scale != nullptr ? *p.grad_scale : 1.f;
      *p.scalars = {inverse, upstream * inverse};
    }
  }
};

// Four blocks per 128 rows: each looks at the statistics of all 128; if any row is beyond the limit
// it normalises its quarter and the first makes the block an alternate one.
template <class T>
struct NormaliseBlocksKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = 16;
  static constexpr int kQuarter = kAlternateBlockRows / 4;

  struct Params {
    UserRows hidden;
    int64_t first_row;
    int rows, columns, padded_columns;
    const RowStatistics* statistics;
    T* normalised;
    int64_t normalised_stride;
    int* alternate_blocks;
  };

  static int blocks(const Params& p) { return 4 * ceil_div(p.rows, kAlternateBlockRows); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int block = ptx::block_id() / 4, first = block * kAlternateBlockRows;
    int* beyond = reinterpret_cast<int*>(ptx::shared_memory());
    if (ptx::thread_id() == 0) *beyond = 0;
    ptx::sync_threads();
    const int checked = first + ptx::thread_id();
    if (ptx::thread_id() < kAlternateBlockRows && checked < p.rows) {
      const RowStatistics s = p.statistics[checked];
      if (fabsf(s.mean) * s.rstd > kFoldLimit) *beyond = 1;  // all who store, store the same
    }
    ptx::sync_threads();
    const bool normalise = *beyond != 0;
    if (ptx::block_id() % 4 == 0 && ptx::thread_id() == 0) p.alternate_blocks[block] = normalise;
    if (!normalise) return;
    const int begin = first + ptx::block_id() % 4 * kQuarter;
    for (int row = begin + ptx::thread_id() / 32; row < begin + kQuarter && row < p.rows;
         row += kThreads / 32) {
      RowStatisticsKernel<T>::normalise(
          p.hidden, static_cast<uint32_t>(p.first_row + row), p.columns, p.padded_columns,
          p.statistics[row], p.normalised + row * p.normalised_stride, ptx::thread_id() % 32);
    }
  }
};

}  // namespace sightline::cuda
