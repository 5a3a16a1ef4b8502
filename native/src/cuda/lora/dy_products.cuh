// Both rank-r products over dy [M,N] from one read of it:
//
//   dS = dy B        [M,r], k over N       B [N,r]
//   dB = dy^T S      [N,r], k over M       S [M,r]
//
// A block holds the columns of one panel (512 bytes of a row: 256 of 16 bits, 128 of fp32) over a
// chunk of rows. Its rows of B stay in shared memory, its sums of dB in registers; 32 rows of dy
// and S at a time arrive by cp.async, two steps ahead, and meet both products: dy as it lies is the
// A operand of dS, transposed on the way out of shared memory that of dB. What a step adds to dS
// leaves at once, as the panel's partial sums; dB leaves at the end, as the chunk's. They are fp32
// and added in order by the kernels of rank_kernels.cuh: no atomics, the same bits on every run.
//
//   rank      a multiple of 16, at most 128 bytes a row: 64 of 16 bits, 32 of fp32. A wider one is
//             cut by the caller, and dy read once for each cut: 1, 2, 4 reads at rank 64, 128, 256.
//   bytes     dy, and per rank element 4 (M panels + N chunks), written here and read once by the
//             reductions: at M = 4608, N = 4096, r = 32, 16 panels and 16 chunks 38 MB of dy, 18 MB
//             of partial sums. Panels of 512 columns would halve one half of that, and double the
//             other.
//   shared    3 stages of 32 rows of dy (16 KB) and S (4 KB), B 32 KB (fp32: 16 KB): 92 KB
//   registers 16 bits: dB 64 columns x 64 ranks a warp = 128, dS 16 x 32 = 16; fp32: 32 and 8
//
// 16 bits: mma.m16n8k16. Warp w has rows 16 (w % 2) of dS and every second 16 ranks from w / 2 on;
// columns 64 w of dB and all ranks. fp32: fused multiply-adds in the order of k; warp w has ranks
// 8 w, its lanes one row of dS and four columns of dB each.
#pragma once

#include <algorithm>
#include <type_traits>

#include "cuda/gemm/fragments.h"
#include "cuda/gemm/swizzle.h"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/runtime/device.h"
#include "cuda/tensor/operand.h"
#include "cuda/tensor/vector8.h"

namespace sightline::cuda {

template <class T>
struct DyProducts {
  static constexpr int kThreads = 128, kMinBlocks = 2;
  static constexpr int kStages = 3, kRows = 32;
  static constexpr int kDyBytes = 512, kRankBytes = 128;  // of a stored row
  static constexpr int kColumns = kDyBytes / sizeof(T), kRank = kRankBytes / sizeof(T);
  static constexpr int kPerChunk = 16 / sizeof(T);  // elements of 16 bytes
  static constexpr int kStageBytes = kRows * (kDyBytes + kRankBytes);
  static constexpr int kSharedBytes = kStages * kStageBytes + kColumns * kRankBytes;
  static_assert(kSharedBytes <= 99 * 1024, "opt-in limit of sm_86 and sm_89");

  struct Params {
    Operand dy;  // [m, n], columns rounded up to a chunk of 16 bytes hold zeros
    int m, n;
    const T* b;  // [n, rank] from the first rank on; null: dS is not wanted
    const T* s;  // [m, rank], likewise; null: dB is not wanted
    int64_t b_stride, s_stride;
    int rank;  // a multiple of 16, at most kRank
    int panels, chunks, chunk_rows;
    float* ds_partials;  // [panels][m][rank]
    float* db_partials;  // [chunks][n][rank]
  };

  // Fills what depends on the sizes: two blocks for each multiprocessor.
  static void cut(Params& p, const Device& device) {
    p.panels = ceil_div(p.n, kColumns);
    p.chunks = p.chunk_rows = 0;
    if (p.panels == 0 || p.m == 0) return;
    const int wanted = std::clamp(2 * device.sms / p.panels, 1, ceil_div(p.m, kRows));
    p.chunk_rows = round_up(ceil_div(p.m, wanted), kRows);
    p.chunks = ceil_div(p.m, p.chunk_rows);
  }
  static int64_t blocks(const Params& p) { return checked_product(p.panels, p.chunks); }
  static int64_t partials_size(const Params& p) {
    return checked_sum(checked_product(p.panels, p.m, p.rank),
                       checked_product(p.chunks, p.n, p.rank));
  }

  // Sums of one thread; see at the top whose they are.
  struct Sums16 {
    float ds[2][2][4], db[4][8][4];
  };
  struct Sums32 {
    float ds[8], db[4][8];
  };
  using Sums = std::conditional_t<sizeof(T) == 2, Sums16, Sums32>;

  struct Block {
    int panel, chunk, first_column, columns, first_row, end_row;
    int thread, lane, warp;
  };

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    Block at;
    at.panel = ptx::block_id() % p.panels, at.chunk = ptx::block_id() / p.panels;
    at.first_column = at.panel * kColumns;
    at.columns = p.n - at.first_column < kColumns ? p.n - at.first_column : kColumns;
    at.first_row = at.chunk * p.chunk_rows;
    at.end_row = p.m - at.first_row < p.chunk_rows ? p.m : at.first_row + p.chunk_rows;
    at.thread = ptx::thread_id(), at.lane = at.thread % 32, at.warp = at.thread / 32;

    uint8_t* shared = ptx::shared_memory();
    const uint32_t stages = ptx::shared_address(shared);
    const int steps = ceil_div(at.end_row - at.first_row, kRows);
    if (p.b != nullptr) load_b(p, at, stages + kStages * kStageBytes);
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < steps) load(p, at, stages + i * kStageBytes, i);
      ptx::cp_async_commit();  // an empty group too: the count of groups stands for the step
    }
    Sums sums{};
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      ptx::cp_async_wait<kStages - 2>();  // this step has landed, for this thread
      ptx::sync_threads();                // for all; and all are done with the step before it
      const int ahead = step + kStages - 1;
      if (ahead < steps) load(p, at, stages + ahead % kStages * kStageBytes, ahead);
      ptx::cp_async_commit();
      const int stage = step % kStages * kStageBytes;
      if (p.b != nullptr) {
        multiply_ds(p, at, shared, stage, sums);
        store_ds(p, at, at.first_row + step * kRows, sums);
      }
      if (p.s != nullptr) multiply_db(p, at, shared, stage, sums);
    }
    if (p.s != nullptr) store_db(p, at, sums);
  }

  // The panel's rows of B, zeros from n on to the next 16: they end dS's sum over k.
  static SL_DEVICE void load_b(const Params& p, const Block& at, uint32_t to) {
    constexpr int kRowChunks = kRankBytes / 16;
    const int chunk = at.thread % kRowChunks;
    if (chunk * kPerChunk >= p.rank) return;
    for (int row = at.thread / kRowChunks; row < (at.columns + 15) / 16 * 16;
         row += kThreads / kRowChunks) {
      const bool valid = row < at.columns;
      ptx::cp_async_16(to + swizzled_chunk<kRankBytes>(row, chunk),
                       p.b + (valid ? (at.first_column + row) * p.b_stride : 0) + chunk * kPerChunk,
                       valid ? 16 : 0);
    }
  }

  // 32 rows of dy and S, zeros past the last row and column.
  static SL_DEVICE void load(const Params& p, const Block& at, uint32_t stage, int step) {
    constexpr int kDyChunks = kDyBytes / 16, kRankChunks = kRankBytes / 16;
    const int first = at.first_row + step * kRows;
    const int column = at.thread % kDyChunks * kPerChunk;
#pragma unroll
    for (int i = 0; i < kRows * kDyChunks / kThreads; ++i) {
      const int r = at.thread / kDyChunks + i * (kThreads / kDyChunks);
      const bool valid = first + r < at.end_row && column < at.columns;
      const T* dy = static_cast<const T*>(p.dy.data);
      ptx::cp_async_16(stage + swizzled_chunk<kDyBytes>(r, at.thread % kDyChunks),
                       dy + (valid ? p.dy.offset(first + r) + at.first_column + column : 0),
                       valid ? 16 : 0);
    }
    const int chunk = at.thread % kRankChunks;
    if (p.s == nullptr || chunk * kPerChunk >= p.rank) return;
#pragma unroll
    for (int i = 0; i < kRows * kRankChunks / kThreads; ++i) {
      const int r = at.thread / kRankChunks + i * (kThreads / kRankChunks);
      const bool valid = first + r < at.end_row;
      ptx::cp_async_16(stage + kRows * kDyBytes + swizzled_chunk<kRankBytes>(r, chunk),
                       p.s + (valid ? (first + r) * p.s_stride : 0) + chunk * kPerChunk,
                       valid ? 16 : 0);
    }
  }

  // sums.ds = this step's rows of dy B.
  static SL_DEVICE void multiply_ds(const Params& p, const Block& at, uint8_t* shared, int stage,
                                    Sums& sums) {
    clear_ds(sums);
    if constexpr (sizeof(T) == 2) {
      const uint32_t dy = ptx::shared_address(shared) + stage;
      const uint32_t b = ptx::shared_address(shared) + kStages * kStageBytes;
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
          ptx::ldmatrix_x4_trans(y, b + swizzled_chunk<kRankBytes>(row.row, row.chunk));
          ptx::mma_m16n8k16<T>(sums.ds[j][0], x, y[0], y[1]);
          ptx::mma_m16n8k16<T>(sums.ds[j][1], x, y[2], y[3]);
        }
      }
    } else {
      if (8 * at.warp >= p.rank) return;
      const uint8_t* b = shared + kStages * kStageBytes;
#pragma unroll 2
      for (int chunk = 0; chunk < (at.columns + 3) / 4; ++chunk) {
        const float4 x = *reinterpret_cast<const float4*>(shared + stage +
                                                          swizzled_chunk<kDyBytes>(at.lane, chunk));
        const float of_column[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) add_ranks(b, 4 * chunk + i, at.warp, of_column[i], sums.ds);
      }
    }
  }

  // sums.db += this step's rows of dy, transposed, times S.
  static SL_DEVICE void multiply_db(const Params& p, const Block& at, uint8_t* shared, int stage,
                                    Sums& sums) {
    if constexpr (sizeof(T) == 2) {
      const uint32_t dy = ptx::shared_address(shared) + stage, s = dy + kRows * kDyBytes;
#pragma unroll
      for (int kk = 0; kk < kRows / 16; ++kk) {
        uint32_t y[4][4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (16 * j >= p.rank) continue;
          const MatrixRow from = b_mn_major(at.lane, 16 * j, kk);
          ptx::ldmatrix_x4_trans(y[j], s + swizzled_chunk<kRankBytes>(from.row, from.chunk));
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
            ptx::mma_m16n8k16<T>(sums.db[i][2 * j], x, y[j][0], y[j][1]);
            ptx::mma_m16n8k16<T>(sums.db[i][2 * j + 1], x, y[j][2], y[j][3]);
          }
        }
      }
    } else {
      if (8 * at.warp >= p.rank) return;
      const uint8_t* s = shared + stage + kRows * kDyBytes;
#pragma unroll 4
      for (int row = 0; row < kRows; ++row) {
        const float4 x = *reinterpret_cast<const float4*>(shared + stage +
                                                          swizzled_chunk<kDyBytes>(row, at.lane));
        const float of_column[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) add_ranks(s, row, at.warp, of_column[i], sums.db[i]);
      }
    }
  }

  // Each to where the reductions expect it: row (or column) major, `rank` columns.
  static SL_DEVICE void store_ds(const Params& p, const Block& at, int first, const Sums& sums) {
    float* partial = p.ds_partials + static_cast<int64_t>(at.panel) * p.m * p.rank;
    if constexpr (sizeof(T) == 2) {
      const int row = first + 16 * (at.warp % 2);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int rank = 16 * (at.warp / 2 + 2 * j);
        if (rank >= p.rank) continue;
        store_tile(partial, row, at.end_row, rank, p.rank, at.lane, sums.ds[j][0]);
        store_tile(partial, row, at.end_row, rank + 8, p.rank, at.lane, sums.ds[j][1]);
      }
    } else {
      const int row = first + at.lane;
      if (row < at.end_row && 8 * at.warp < p.rank) {
        store8(partial + static_cast<int64_t>(row) * p.rank + 8 * at.warp, sums.ds);
      }
    }
  }
  static SL_DEVICE void store_db(const Params& p, const Block& at, const Sums& sums) {
    float* partial = p.db_partials + static_cast<int64_t>(at.chunk) * p.n * p.rank;
    if constexpr (sizeof(T) == 2) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = at.first_column + 64 * at.warp + 16 * i;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          if (8 * j < p.rank)
            store_tile(partial, column, p.n, 8 * j, p.rank, at.lane, sums.db[i][j]);
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = at.first_column + 4 * at.lane + i;
        if (column < p.n && 8 * at.warp < p.rank) {
          store8(partial + static_cast<int64_t>(column) * p.rank + 8 * at.warp, sums.db[i]);
        }
      }
    }
  }

 private:
  static SL_DEVICE void clear_ds(Sums& sums) {
    if constexpr (sizeof(T) == 2) {
#pragma unroll
      for (int i = 0; i < 16; ++i) sums.ds[i / 8][i / 4 % 2][i % 4] = 0.f;
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums.ds[i] = 0.f;
    }
  }

  // sum[i] += x rows[row][8 warp + i]
  static SL_DEVICE void add_ranks(const uint8_t* rows, int row, int warp, float x,
                                  float (&sum)[8]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float4 y =
          *reinterpret_cast<const float4*>(rows + swizzled_chunk<kRankBytes>(row, 2 * warp + half));
      sum[4 * half] = fmaf(x, y.x, sum[4 * half]);
      sum[4 * half + 1] = fmaf(x, y.y, sum[4 * half + 1]);
      sum[4 * half + 2] = fmaf(x, y.z, sum[4 * half + 2]);
      sum[4 * half + 3] = fmaf(x, y.w, sum[4 * half + 3]);
    }
  }

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

}  // namespace sightline::cuda
