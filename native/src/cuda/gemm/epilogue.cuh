// What becomes of accumulators. An epilogue is a struct of static functions that derives from
// EpilogueBase and declares, of its Params p:
//
//   input(p), output(p)         matrices (tensor/rows.h) of the product's shape; or none
//   second_output(p), second    a second output: second(x) of the first as rounded
//   columns<kCount>(p, column)  values of kCount columns
//   elements(p, columns, constants, in, x)   x of kCount columns of a row from accumulator to
//                               result, given `in` of the input; past column n all of them are 0
//   kRowConstants               row_constants(p, row) -> float4, once per row and tile
//   kRowSums                    how many (of 3) add_sums(columns, in, x, sums) adds to after that;
//                               finish_row(p, row, tile_n, sums) has those over a tile's columns
//   kMask                       what dropout's mask(p) falls on
//   First                       a pass of sums before it, over whole rows (of a cluster); then
//                               combine(p, row, total sums, writer) -> the row's constants
//
// Accumulators reach memory by one of two ways, both derived from that: by rows, eight columns of a
// row a thread, through fp32 in shared memory; or, on Hopper, by fragments, pairs of columns where
// wgmma leaves them, to 16-bit subtiles that TMA stores (hopper_store.cuh). Traffic of shared
// memory and L1 for a tile of 128 x 256 and one 16-bit output, in clocks of 128 bytes:
//
//   rows                        fp32 written 1024 + read 1024, rows stored 512      2560
//   rows, then subtiles         and 16 bits written 512                             2560 + 512 *
//   fragments                   stmatrix 512, columns' values 2 x 256               1024 + 512 *
//   (* TMA's reads, under the next subtile or the next tile)
//
// so only fragments are worth a second way. The input comes the same way, through ldmatrix: loading
// it by rows exposes the latency of L2 sixteen times a tile, more clocks than all of the above.
#pragma once

#include <concepts>
#include <utility>

#include "cuda/gemm/swizzle.h"
#include "cuda/math/dropout.h"
#include "cuda/ptx/thread.cuh"
#include "cuda/tensor/rows.h"

namespace sightline::cuda {

struct RowSums {
  float value[3];
};

// Kept elements are scaled by 1 / (1 - p), but for those of A.
enum class Mask {
  kNone,
  kOutput,        // the last output
  kOperandA,      // A of the product
  kFirstSegment,  // the accumulators of the first segment, before the others are added
};

struct NoColumns {};

struct EpilogueBase {
  static constexpr bool kFusedK = false;  // the problem's extra segments are added
  static constexpr bool kSplitK = false;  // problem.splits results: partial(p, i) -> Params of one
  static constexpr Mask kMask = Mask::kNone;
  static constexpr bool kRowConstants = false;
  static constexpr int kRowSums = 0;
  template <int kCount>
  static SL_DEVICE NoColumns columns(const auto&, int) {
    return {};
  }
};

template <class E>
concept HasInput = requires(const typename E::Params& p) {
  E::input(p);
};
template <class E>
concept HasOutput = requires(const typename E::Params& p) {
  E::output(p);
};
template <class E>
concept HasSecondOutput = HasOutput<E> && requires(const typename E::Params& p) {
  E::second_output(p);
  { E::second(0.f) } -> std::same_as<float>;
};
template <class E>
inline constexpr int kOutputs = HasSecondOutput<E> ? 2
                                : HasOutput<E>     ? 1
                                                   : 0;
template <class E>
concept TwoPass = requires {
  typename E::First;
};
template <class E>
concept IsEpilogue = std::derived_from<E, EpilogueBase> &&
    requires(const typename E::Params& p, const float (&in)[8], float (&x)[8], RowSums& sums) {
  E::elements(p, E::template columns<8>(p, 0), float4{}, in, x);
  requires E::kMask == Mask::kNone || requires {
    { E::mask(p) } -> std::convertible_to<Dropout>;
  };
  requires !E::kRowConstants || TwoPass<E> || requires { E::row_constants(p, 0); };
  requires E::kRowSums == 0 || requires { E::add_sums(E::template columns<8>(p, 0), in, x, sums); };
  requires !E::kRowConstants || E::kRowSums == 0;  // they share a float4 per row
};

// Whether the results can leave as subtiles of T by TMA; tma_reaches() says where they do.
template <class E, class T>
concept HasTma = HasOutput<E> &&
    std::remove_cvref_t<decltype(E::output(std::declval<typename E::Params>()))>::template kTma<T>;

// A mask is drawn for eight columns at once: by rows.
template <class T, IsEpilogue Epilogue>
bool tma_reaches(const typename Epilogue::Params& p, int m, int n) {
  bool reaches = Epilogue::output(p).template tma_reaches<T>(m, n);
  if constexpr (HasInput<Epilogue>) {
    reaches = reaches && Epilogue::input(p).template tma_reaches<T>(m, n);
  }
  if constexpr (Epilogue::kMask == Mask::kOutput) {
    reaches = reaches && Epilogue::mask(p).threshold == 0;
  }
  return reaches;
}

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

// Eight columns of a row, from accumulators to memory.
template <IsEpilogue Epilogue>
SL_DEVICE void apply_row(const typename Epilogue::Params& p, int row, int column,
                         const auto& columns, const float4& constants, float (&x)[8],
                         RowSums& sums) {
  float in[8] = {};
  if constexpr (HasInput<Epilogue>) Epilogue::input(p).load(row, column, in);
  Epilogue::elements(p, columns, constants, in, x);
  if constexpr (HasSecondOutput<Epilogue>) {
    const auto& output = Epilogue::output(p);
    output.store(row, column, x);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[i] =
          Epilogue::second(rounded<typename std::remove_cvref_t<decltype(output)>::Element>(x[i]));
    }
  }
  if constexpr (Epilogue::kMask == Mask::kOutput) Epilogue::mask(p).apply(row, column, x);
  if constexpr (Epilogue::kRowSums > 0) Epilogue::add_sums(columns, in, x, sums);
  if constexpr (HasSecondOutput<Epilogue>) {
    Epilogue::second_output(p).store(row, column, x);
  } else if constexpr (HasOutput<Epilogue>) {
    Epilogue::output(p).store(row, column, x);
  }
}

// The row path over a staged subtile of kRows rows and kColumns columns with kThreads threads:
// consecutive lanes take consecutive columns, so that all global memory moves in 16-byte accesses
// of full lines. `row_scratch` holds one float4 per row: the row's constants if the epilogue has
// any, else its sums. A row is always handled by the same lanes, so sums add up in a fixed order.
template <IsEpilogue Epilogue, int kRows, int kColumns, int kThreads>
SL_DEVICE void apply_epilogue(const typename Epilogue::Params& p, StagedTile<kColumns> tile,
                              float4* row_scratch, int first_row, int first_column, int m, int n,
                              int thread) {
  constexpr int kLanes = kColumns / 8;  // lanes that share a row
  static_assert(kLanes <= 32 && 32 % kLanes == 0, "a row stays inside one warp");
  constexpr int kRowsPerPass = kThreads / kLanes;
  static_assert(kRows % kRowsPerPass == 0, "whole passes");
  const int group = thread % kLanes, column = first_column + 8 * group;
  decltype(Epilogue::template columns<8>(p, column)) columns{};
  if (column < n) columns = Epilogue::template columns<8>(p, column);
#pragma unroll 1
  for (int local = thread / kLanes; local < kRows; local += kRowsPerPass) {
    const int row = first_row + local;
    RowSums sums{};
    if (row < m && column < n) {
      float x[8];
      tile.get(local, group, x);
      const float4 constants =
          Epilogue::kRowConstants ? row_scratch[local] : make_float4(0.f, 0.f, 0.f, 0.f);
      apply_row<Epilogue>(p, row, column, columns, constants, x, sums);
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
template <IsEpilogue Epilogue>
SL_DEVICE void init_row_scratch(const typename Epilogue::Params& p, float4* scratch, int row,
                                int m) {
  if constexpr (Epilogue::kRowConstants) {
    if (row < m) *scratch = Epilogue::row_constants(p, row);
  } else if constexpr (Epilogue::kRowSums > 0) {
    *scratch = make_float4(0.f, 0.f, 0.f, 0.f);
  }
}

// Hands a row's sums to the epilogue after the last subtile; a barrier must lie between.
template <IsEpilogue Epilogue>
SL_DEVICE void finish_row_scratch(const typename Epilogue::Params& p, const float4* scratch,
                                  int row, int m, int tile_n) {
  if constexpr (Epilogue::kRowSums > 0) {
    if (row < m) Epilogue::finish_row(p, row, tile_n, *scratch);
  }
}

// A whole staged tile through its epilogue, row sums included.
template <IsEpilogue Epilogue, int kRows, int kColumns, int kThreads>
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
