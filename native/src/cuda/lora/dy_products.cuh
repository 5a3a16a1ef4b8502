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
#pragma once

#include <algorithm>
#include <type_traits>

#include "cuda/lora/dy_sums.cuh"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/griddep.cuh"
#include "cuda/runtime/device.h"
#include "cuda/tensor/operand.h"

namespace sightline::cuda {

template <class T>
struct DyProducts {
  static constexpr int kThreads = 128, kMinBlocks = 2;
  static constexpr int kColumns = kDyBytes / sizeof(T), kRank = kDyRankBytes / sizeof(T);
  static constexpr int kPerChunk = 16 / sizeof(T);  // elements of 16 bytes
  static constexpr int kSharedBytes = kDyStages * kDyStageBytes + kColumns * kDyRankBytes;
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
    const int wanted = std::clamp(2 * device.sms / p.panels, 1, ceil_div(p.m, kDyRows));
    p.chunk_rows = round_up(ceil_div(p.m, wanted), kDyRows);
    p.chunks = ceil_div(p.m, p.chunk_rows);
  }
  static int64_t blocks(const Params& p) { return checked_product(p.panels, p.chunks); }
  static int64_t partials_size(const Params& p) {
    return checked_sum(checked_product(p.panels, p.m, p.rank),
                       checked_product(p.chunks, p.n, p.rank));
  }

  using Sums = std::conditional_t<sizeof(T) == 2, DySums16<T>, DySums32>;

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    DyBlock at;
    at.panel = ptx::block_id() % p.panels, at.chunk = ptx::block_id() / p.panels;
    at.first_column = at.panel * kColumns;
    at.columns = p.n - at.first_column < kColumns ? p.n - at.first_column : kColumns;
    at.first_row = at.chunk * p.chunk_rows;
    at.end_row = p.m - at.first_row < p.chunk_rows ? p.m : at.first_row + p.chunk_rows;
    at.thread = ptx::thread_id(), at.lane = at.thread % 32, at.warp = at.thread / 32;

    uint8_t* shared = ptx::shared_memory();
    const uint32_t stages = ptx::shared_address(shared);
    const int steps = ceil_div(at.end_row - at.first_row, kDyRows);
    if (p.b != nullptr) load_b(p, at, stages + kDyStages * kDyStageBytes);
#pragma unroll 1
    for (int i = 0; i < kDyStages - 1; ++i) {
      if (i < steps) load(p, at, stages + i * kDyStageBytes, i);
      ptx::cp_async_commit();  // an empty group too: the count of groups stands for the step
    }
    Sums sums{};
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      ptx::cp_async_wait<kDyStages - 2>();  // this step has landed, for this thread
      ptx::sync_threads();                  // for all; and all are done with the step before it
      const int ahead = step + kDyStages - 1;
      if (ahead < steps) load(p, at, stages + ahead % kDyStages * kDyStageBytes, ahead);
      ptx::cp_async_commit();
      const int stage = step % kDyStages * kDyStageBytes;
      if (p.b != nullptr) {
        sums.multiply_ds(p, at, shared, stage);
        sums.store_ds(p, at, at.first_row + step * kDyRows);
      }
      if (p.s != nullptr) sums.multiply_db(p, at, shared, stage);
    }
    if (p.s != nullptr) sums.store_db(p, at);
  }

  // The panel's rows of B, zeros from n on to the next 16: they end dS's sum over k.
  static SL_DEVICE void load_b(const Params& p, const DyBlock& at, uint32_t to) {
    constexpr int kRowChunks = kDyRankBytes / 16;
    const int chunk = at.thread % kRowChunks;
    if (chunk * kPerChunk >= p.rank) return;
    for (int row = at.thread / kRowChunks; row < (at.columns + 15) / 16 * 16;
         row += kThreads / kRowChunks) {
      const bool valid = row < at.columns;
      ptx::cp_async_16(to + swizzled_chunk<kDyRankBytes>(row, chunk),
                       p.b + (valid ? (at.first_column + row) * p.b_stride : 0) + chunk * kPerChunk,
                       valid ? 16 : 0);
    }
  }

  // 32 rows of dy and S, zeros past the last row and column.
  static SL_DEVICE void load(const Params& p, const DyBlock& at, uint32_t stage, int step) {
    constexpr int kDyChunks = kDyBytes / 16, kRankChunks = kDyRankBytes / 16;
    const int first = at.first_row + step * kDyRows;
    const int column = at.thread % kDyChunks * kPerChunk;
#pragma unroll
    for (int i = 0; i < kDyRows * kDyChunks / kThreads; ++i) {
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
    for (int i = 0; i < kDyRows * kRankChunks / kThreads; ++i) {
      const int r = at.thread / kRankChunks + i * (kThreads / kRankChunks);
      const bool valid = first + r < at.end_row;
      ptx::cp_async_16(stage + kDyRows * kDyBytes + swizzled_chunk<kDyRankBytes>(r, chunk),
                       p.s + (valid ? (first + r) * p.s_stride : 0) + chunk * kPerChunk,
                       valid ? 16 : 0);
    }
  }
};

}  // namespace sightline::cuda
