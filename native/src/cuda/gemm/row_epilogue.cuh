// From accumulators staged in shared memory to an epilogue's function, eight contiguous columns of
// a row at a time: consecutive lanes take consecutive columns, so that everything the epilogue
// reads and writes in global memory moves in 16-byte accesses of full lines.
//
// An epilogue is a struct of static functions:
//   Params                          what it reads and writes
//   kRowConstants, row_constants(p, row) -> float4            once per row and tile
//   Columns, columns(p, column) -> Columns                     once per thread and column subtile
//   kRowSums, sums in a float4: x, y, z                        how many the row sums use (0 to 3)
//   apply(p, row, column, columns, constants, x[8], sums)      x: accumulators; adds to sums
//   finish_row(p, row, tile_n, sums)                           sums over the tile's columns
#pragma once

#include "cuda/gemm/swizzle.h"
#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

// What an epilogue may ask of the product before it, by members that most do not have:
//   kFusedK            the problem's extra segments are added (a compile-time promise, so that
//                         products of one segment pay nothing for it)
//   mask_first_segment(p, row, column, x0, x1)   changes two neighbouring accumulators when the first
//                         segment is complete and before the others are added
//   kSplitK               k is cut into problem.splits parts, each with a result of its own;
//                         split(p, i) -> Params of part i
//   drop_a(p) -> Dropout  zeroes elements of A by the dropout mask (kept ones are not scaled)
template <class Epilogue>
inline constexpr bool kHasFusedK = requires {
  Epilogue::kFusedK;
};
template <class Epilogue>
inline constexpr bool kHasFirstSegmentMask = requires(const typename Epilogue::Params& p,
                                                      float& x) {
  Epilogue::mask_first_segment(p, 0, 0, x, x);
};
template <class Epilogue>
inline constexpr bool kHasSplitK = requires {
  Epilogue::kSplitK;
};
template <class Epilogue>
inline constexpr bool kHasDropA = requires(const typename Epilogue::Params& p) {
  Epilogue::drop_a(p);
};

// The part of [0, k_blocks) that split `i` of `splits` multiplies; a function of the sizes alone.
struct BlockRange {
  int begin, end;
};
SL_HOST_DEVICE constexpr BlockRange split_blocks(int k_blocks, int splits, int i) {
  const int each = k_blocks / splits, extra = k_blocks % splits;
  const int begin = i * each + (i < extra ? i : extra);
  return {begin, begin + each + (i < extra ? 1 : 0)};
}

struct RowSums {
  float value[3];
};

struct NoColumns {};
template <int kCount>
struct BiasColumns {
  float bias[kCount];
};

// One tile, or one column subtile of it, in shared memory: kRows x kColumns fp32.
template <int kColumns>
struct StagedTile {
  uint8_t* base;

  static constexpr int bytes(int rows) { return rows * kColumns * 4; }

  // column is even.
  SL_DEVICE void put(int row, int column, float x0, float x1) const {
    float* at =
        reinterpret_cast<float*>(base + staged_chunk<kColumns>(row, column / 4)) + (column & 2);
    *reinterpret_cast<float2*>(at) = make_float2(x0, x1);
  }

  // Columns 8 group .. 8 group + 7. Odd quads of lanes read their upper half first: with that the
  // eight lanes of a quarter warp touch all banks.
  SL_DEVICE void get(int row, int group, float (&x)[8]) const {
    const bool swap = (group & 4) != 0;
    const float4 first = *reinterpret_cast<const float4*>(
        base + staged_chunk<kColumns>(row, 2 * group + (swap ? 1 : 0)));
    const float4 second = *reinterpret_cast<const float4*>(
        base + staged_chunk<kColumns>(row, 2 * group + (swap ? 0 : 1)));
    const float4 low = swap ? second : first, high = swap ? first : second;
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
  }
};

// Runs `apply` over a staged subtile of kRows rows and kColumns columns with kThreads threads.
// `row_scratch` holds one float4 per row: the row's constants if the epilogue has any, else its
// sums. A row is always handled by the same lanes, so sums add up in a fixed order.
template <class Epilogue, int kRows, int kColumns, int kThreads>
SL_DEVICE void apply_epilogue(const typename Epilogue::Params& p, StagedTile<kColumns> tile,
                              float4* row_scratch, int first_row, int first_column, int m, int n,
                              int thread) {
  static_assert(!(Epilogue::kRowConstants && Epilogue::kRowSums > 0), "one scratch per row");
  constexpr int kLanes = kColumns / 8;  // lanes that share a row
  static_assert(kLanes <= 32 && 32 % kLanes == 0, "a row stays inside one warp");
  constexpr int kRowsPerPass = kThreads / kLanes;
  static_assert(kRows % kRowsPerPass == 0, "whole passes");
  const int group = thread % kLanes, column = first_column + 8 * group;
  typename Epilogue::Columns columns{};
  if (column < n) columns = Epilogue::columns(p, column);
#pragma unroll 1
  for (int local = thread / kLanes; local < kRows; local += kRowsPerPass) {
    const int row = first_row + local;
    RowSums sums{};
    if (row < m && column < n) {
      float x[8];
      tile.get(local, group, x);
      const float4 constants =
          Epilogue::kRowConstants ? row_scratch[local] : make_float4(0.f, 0.f, 0.f, 0.f);
      Epilogue::apply(p, row, column, columns, constants, x, sums);
    }
    if constexpr (Epilogue::kRowSums > 0) {
#pragma unroll
      for (int i = 0; i < Epilogue::kRowSums; ++i) {
#pragma unroll
        for (int mask = 1; mask < kLanes; mask *= 2) {
          sums.value[i] += ptx::shuffle_xor(sums.value[i], mask);
        }
      }
      if (group == 0) {
        float4 total = row_scratch[local];
        total.x += sums.value[0];
        total.y += sums.value[1];
        total.z += sums.value[2];
        row_scratch[local] = total;
      }
    }
  }
}

// Fills a row's scratch before apply_epilogue; a barrier must follow.
template <class Epilogue>
SL_DEVICE void init_row_scratch(const typename Epilogue::Params& p, float4* scratch, int row,
                                int m) {
  if constexpr (Epilogue::kRowConstants) {
    if (row < m) *scratch = Epilogue::row_constants(p, row);
  } else if constexpr (Epilogue::kRowSums > 0) {
    *scratch = make_float4(0.f, 0.f, 0.f, 0.f);
  }
}

// Hands a row's sums to the epilogue after the last subtile; a barrier must lie between.
template <class Epilogue>
SL_DEVICE void finish_row_scratch(const typename Epilogue::Params& p, const float4* scratch,
                                  int row, int m, int tile_n) {
  if constexpr (Epilogue::kRowSums > 0) {
    if (row < m) Epilogue::finish_row(p, row, tile_n, *scratch);
  }
}

// A whole staged tile through its epilogue, row sums included.
template <class Epilogue, int kRows, int kColumns, int kThreads>
SL_DEVICE void finish_tile(const typename Epilogue::Params& p, StagedTile<kColumns> tile,
                           float4* row_scratch, int first_row, int first_column, int m, int n,
                           int tile_n, int thread) {
  apply_epilogue<Epilogue, kRows, kColumns, kThreads>(p, tile, row_scratch, first_row, first_column,
                                                      m, n, thread);
  if constexpr (Epilogue::kRowSums > 0) {
    ptx::sync_threads();
    if (thread < kRows)
      finish_row_scratch<Epilogue>(p, row_scratch + thread, first_row + thread, m, tile_n);
  }
}

}  // namespace sightline::cuda
