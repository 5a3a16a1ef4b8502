// What a thread of DyProducts sums up, how a step adds to it, and where it goes.
#pragma once

#include "cuda/gemm/fragments.h"
#include "cuda/gemm/swizzle.h"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/tensor/vector8.h"

namespace sightline::cuda {

constexpr int kDyStages = 3, kDyRows = 32;
constexpr int kDyBytes = 512, kDyRankBytes = 128;  // of a stored row
constexpr int kDyStageBytes = kDyRows * (kDyBytes + kDyRankBytes);

struct DyBlock {
  int panel, chunk, first_column, columns, first_row, end_row;
  int thread, lane, warp;
};

// mma.m16n8k16. Warp w has rows 16 (w % 2) of dS and every second 16 ranks from w / 2 on; columns
// 64 w of dB and all ranks.
template <class T>
struct DySums16 {
  float ds[2][2][4], db[4][8][4];

  // ds = this step's rows of dy B.
  template <class Params>
  SL_DEVICE void multiply_ds(const Params& p, const DyBlock& at, uint8_t* shared, int stage) {
#pragma unroll
    for (int i = 0; i < 16; ++i) ds[i / 8][i / 4 % 2][i % 4] = 0.f;
    const uint32_t dy = ptx::shared_address(shared) + stage;
    const uint32_t b = ptx::shared_address(shared) + kDyStages * kDyStageBytes;
    const int k_steps = (at.columns + 15) / 16;
#pragma unroll 4
    for (int kk = 0; kk < k_steps; ++kk) {
      uint32_t x[4];
      const MatrixRow from = a_k_major(at.lane, 16 * (at.warp % 2), kk);
      ptx::ldmatrix_x4(x, dy + swizzled_chunk<kDyBytes>(from.row, from.chunk));
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int rank = 16 * (at.warp / 2 + 2 * j);
        if (rank >= p.rank) continue;
        uint32_t y[4];
        const MatrixRow row = b_mn_major(at.lane, rank, kk);
        ptx::ldmatrix_x4_trans(y, b + swizzled_chunk<kDyRankBytes>(row.row, row.chunk));
        ptx::mma_m16n8k16<T>(ds[j][0], x, y[0], y[1]);
        ptx::mma_m16n8k16<T>(ds[j][1], x, y[2], y[3]);
      }
    }
  }

  // db += this step's rows of dy, transposed, times S.
  template <class Params>
  SL_DEVICE void multiply_db(const Params& p, const DyBlock& at, uint8_t* shared, int stage) {
    const uint32_t dy = ptx::shared_address(shared) + stage, s = dy + kDyRows * kDyBytes;
#pragma unroll
    for (int kk = 0; kk < kDyRows / 16; ++kk) {
      uint32_t y[4][4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (16 * j >= p.rank) continue;
        const MatrixRow from = b_mn_major(at.lane, 16 * j, kk);
        ptx::ldmatrix_x4_trans(y[j], s + swizzled_chunk<kDyRankBytes>(from.row, from.chunk));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = 64 * at.warp + 16 * i;
        if (column >= at.columns) continue;
        uint32_t x[4];
        const MatrixRow from = a_mn_major(at.lane, column, kk);
        ptx::ldmatrix_x4_trans(x, dy + swizzled_chunk<kDyBytes>(from.row, from.chunk));
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (16 * j >= p.rank) continue;
          ptx::mma_m16n8k16<T>(db[i][2 * j], x, y[j][0], y[j][1]);
          ptx::mma_m16n8k16<T>(db[i][2 * j + 1], x, y[j][2], y[j][3]);
        }
      }
    }
  }

  // Each to where the reductions expect it: row (or column) major, `rank` columns.
  template <class Params>
  SL_DEVICE void store_ds(const Params& p, const DyBlock& at, int first) const {
    float* partial = p.ds_partials + static_cast<int64_t>(at.panel) * p.m * p.rank;
    const int row = first + 16 * (at.warp % 2);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int rank = 16 * (at.warp / 2 + 2 * j);
      if (rank >= p.rank) continue;
      store_tile(partial, row, at.end_row, rank, p.rank, at.lane, ds[j][0]);
      store_tile(partial, row, at.end_row, rank + 8, p.rank, at.lane, ds[j][1]);
    }
  }
  template <class Params>
  SL_DEVICE void store_db(const Params& p, const DyBlock& at) const {
    float* partial = p.db_partials + static_cast<int64_t>(at.chunk) * p.n * p.rank;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = at.first_column + 64 * at.warp + 16 * i;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        if (8 * j < p.rank) store_tile(partial, column, p.n, 8 * j, p.rank, at.lane, db[i][j]);
      }
    }
  }

 private:
  // One accumulator tile of 16 rows and 8 ranks.
  static SL_DEVICE void store_tile(float* partial, int first, int end, int rank, int stride,
                                   int lane, const float (&c)[4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Position in = mma_accumulator(lane, 2 * half);
      const int row = first + in.row;
      if (row >= end) continue;
      *reinterpret_cast<float2*>(partial + static_cast<int64_t>(row) * stride + rank + in.column) =
          make_float2(c[2 * half], c[2 * half + 1]);
    }
  }
};

// Fused multiply-adds in the order of k. Warp w has ranks 8 w, its lanes one row of dS and four
// columns of dB each.
struct DySums32 {
  float ds[8], db[4][8];

  // ds = this step's rows of dy B.
  template <class Params>
  SL_DEVICE void multiply_ds(const Params& p, const DyBlock& at, uint8_t* shared, int stage) {
#pragma unroll
    for (int i = 0; i < 8; ++i) ds[i] = 0.f;
    if (8 * at.warp >= p.rank) return;
    const uint8_t* b = shared + kDyStages * kDyStageBytes;
#pragma unroll 2
    for (int chunk = 0; chunk < (at.columns + 3) / 4; ++chunk) {
      const float4 x = *reinterpret_cast<const float4*>(shared + stage +
                                                        swizzled_chunk<kDyBytes>(at.lane, chunk));
      const float of_column[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) add_ranks(b, 4 * chunk + i, at.warp, of_column[i], ds);
    }
  }

  // db += this step's rows of dy, transposed, times S.
  template <class Params>
  SL_DEVICE void multiply_db(const Params& p, const DyBlock& at, uint8_t* shared, int stage) {
    if (8 * at.warp >= p.rank) return;
    const uint8_t* s = shared + stage + kDyRows * kDyBytes;
#pragma unroll 4
    for (int row = 0; row < kDyRows; ++row) {
      const float4 x =
          *reinterpret_cast<const float4*>(shared + stage + swizzled_chunk<kDyBytes>(row, at.lane));
      const float of_column[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) add_ranks(s, row, at.warp, of_column[i], db[i]);
    }
  }

  // Each to where the reductions expect it: row (or column) major, `rank` columns.
  template <class Params>
  SL_DEVICE void store_ds(const Params& p, const DyBlock& at, int first) const {
    float* partial = p.ds_partials + static_cast<int64_t>(at.panel) * p.m * p.rank;
    const int row = first + at.lane;
    if (row < at.end_row && 8 * at.warp < p.rank) {
      store8(partial + static_cast<int64_t>(row) * p.rank + 8 * at.warp, ds);
    }
  }
  template <class Params>
  SL_DEVICE void store_db(const Params& p, const DyBlock& at) const {
    float* partial = p.db_partials + static_cast<int64_t>(at.chunk) * p.n * p.rank;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = at.first_column + 4 * at.lane + i;
      if (column < p.n && 8 * at.warp < p.rank) {
        store8(partial + static_cast<int64_t>(column) * p.rank + 8 * at.warp, db[i]);
      }
    }
  }

 private:
  // sum[i] += x rows[row][8 warp + i]
  static SL_DEVICE void add_ranks(const uint8_t* rows, int row, int warp, float x,
                                  float (&sum)[8]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float4 y = *reinterpret_cast<const float4*>(
          rows + swizzled_chunk<kDyRankBytes>(row, 2 * warp + half));
      sum[4 * half] = fmaf(x, y.x, sum[4 * half]);
      sum[4 * half + 1] = fmaf(x, y.y, sum[4 * half + 1]);
      sum[4 * half + 2] = fmaf(x, y.z, sum[4 * half + 2]);
      sum[4 * half + 3] = fmaf(x, y.w, sum[4 * half + 3]);
    }
  }
};

}  // namespace sightline::cuda
