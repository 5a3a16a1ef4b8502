// The stages between a consumer warpgroup's fragments and TMA: two subtiles (or as many as a tile
// has) of 64 rows x 64 16-bit elements (8 KB, 128-byte swizzle) a warpgroup. One thread of the
// producer warpgroup, the store thread, loads the epilogue's input into them and stores from them,
// so that no consumer ever waits for a store that it issued.
//
//   filled[s]    1 arrival, the store thread's   stage s may be written, and holds the input if
//                                                there is one
//   written[s]   4 arrivals, one a warp          stage s holds results, fenced for TMA
//
// A stage is used once for each output of each subtile; uses go through the stages in turn and run
// on from tile to tile. The store thread fills ahead by as many uses as there are stages: while
// consumers multiply, the last results leave and the first inputs of the next tile arrive.
#pragma once

#include "cuda/gemm/epilogue.cuh"
#include "cuda/gemm/fragments.h"
#include "cuda/gemm/tma_operand.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mbarrier.cuh"
#include "cuda/ptx/stmatrix.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/ptx/tma.cuh"

namespace sightline::cuda {

constexpr int kSubtileM = 64, kSubtileN = 64;  // rows of 128 bytes
constexpr int kSubtileBytes = kSubtileM * kSubtileN * 2;

// Kernel parameters; nothing for epilogues that go by rows alone.
template <class Epilogue, bool kTma>
struct TmaMatrices {
  static constexpr bool used = false, stores = true;
};
template <class Epilogue>
struct TmaMatrices<Epilogue, true> {
  TmaOperand input, output[kOutputs<Epilogue>];
  bool used;    // else by rows
  bool stores;  // else the input is all that moves
};

// One thread's part of a warpgroup's 64 rows: rows g and g + 8 of its warp's 16 (g = lane / 4),
// columns 2 (lane % 4) and + 1 of every eight.
template <class T, IsEpilogue Epilogue>
struct FragmentEpilogue {
  using Params = typename Epilogue::Params;
  using Columns = decltype(Epilogue::template columns<2>(std::declval<const Params&>(), 0));

  float4 constants[2];
  RowSums sums[2];
  Columns columns[kSubtileN / 8];  // of the subtile at hand

  // first_row: row g of the product.
  SL_DEVICE void begin(const Params& p, int first_row, int m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 8 * half;
      sums[half] = {};
      constants[half] = make_float4(0.f, 0.f, 0.f, 0.f);
      if constexpr (Epilogue::kRowConstants) {
        if (row < m) constants[half] = Epilogue::row_constants(p, row);
      }
    }
  }

  // first_column: of the subtile, plus 2 (lane % 4). n is a multiple of 8.
  SL_DEVICE void load_columns(const Params& p, int first_column, int n) {
#pragma unroll
    for (int i = 0; i < kSubtileN / 8; ++i) {
      columns[i] = {};
      const int column = first_column + 8 * i;
      if (column < n) columns[i] = Epilogue::template columns<2>(p, column);
    }
  }

  // Columns 16 kk .. 16 kk + 15 of the subtile: eight accumulators, as four words in and out.
  SL_DEVICE void apply(const Params& p, int kk, const float* d, const uint32_t (&in)[4],
                       uint32_t (&out)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int half = q & 1;
      float x[2] = {d[2 * q], d[2 * q + 1]}, read[2];
      unpack2(in[q], read[0], read[1]);
      Epilogue::elements(p, columns[2 * kk + (q >> 1)], constants[half], read, x);
      if constexpr (Epilogue::kRowSums > 0) {
        Epilogue::add_sums(columns[2 * kk + (q >> 1)], read, x, sums[half]);
      }
      out[q] = pack2(x[0], x[1]);
    }
  }

  static SL_DEVICE void second(uint32_t (&words)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      float x[2];
      unpack2(words[q], x[0], x[1]);
      words[q] = pack2(Epilogue::second(x[0]), Epilogue::second(x[1]));
    }
  }

  // The four lanes of a row add up their columns, always in the same order.
  SL_DEVICE float4 total(int half) {
#pragma unroll
    for (int i = 0; i < Epilogue::kRowSums; ++i) {
      float& sum = sums[half].value[i];
      sum += ptx::shuffle_xor(sum, 1);
      sum += ptx::shuffle_xor(sum, 2);
    }
    return make_float4(sums[half].value[0], sums[half].value[1], sums[half].value[2], 0.f);
  }

  SL_DEVICE void finish(const Params& p, int first_row, int m, int tile_n, int lane) {
    if constexpr (Epilogue::kRowSums > 0) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + 8 * half;
        const float4 row_sums = total(half);
        if (lane % 4 == 0 && row < m) Epilogue::finish_row(p, row, tile_n, row_sums);
      }
    }
  }
};

// One warpgroup's stages and barriers in shared memory.
template <int kStages_>
struct SubtileStages {
  uint32_t data, barriers;

  static constexpr int kStages = kStages_, kBarriers = 2 * kStages;
  SL_DEVICE uint32_t stage(int i) const { return data + i * kSubtileBytes; }
  SL_DEVICE uint32_t filled(int i) const { return barriers + i * 8; }
  SL_DEVICE uint32_t written(int i) const { return barriers + (kStages + i) * 8; }

  SL_DEVICE void init() const {
    for (int i = 0; i < kStages; ++i) {
      ptx::mbarrier_init(filled(i), 1);
      ptx::mbarrier_init(written(i), 4);
    }
  }
};

// Position of a subtile in the product.
struct Subtile {
  int row, column;
};

// The store thread's side of a stage.
template <int kStages>
SL_DEVICE void load_stage(const TmaOperand& matrix, const SubtileStages<kStages>& stages, int stage,
                          Subtile box) {
  const auto at = matrix.at(box.row);
  ptx::mbarrier_arrive_expect_tx(stages.filled(stage), kSubtileBytes);
  ptx::tma_load(stages.stage(stage), matrix.map, stages.filled(stage), box.column, at.y, at.z);
}

// Returns when TMA has read the stage; the writes end with the kernel.
template <int kStages>
SL_DEVICE void store_stage(const TmaOperand& matrix, const SubtileStages<kStages>& stages,
                           int stage, Subtile box) {
  const auto at = matrix.at(box.row);
  ptx::tma_store(matrix.map, stages.stage(stage), box.column, at.y, at.z);
  ptx::tma_store_commit();
  ptx::tma_store_wait_read<0>();
}

// A consumer warp's results in a stage, for the store thread.
template <int kStages>
SL_DEVICE void commit_stage(const SubtileStages<kStages>& stages, int stage, int lane) {
  ptx::fence_proxy_async_shared();
  ptx::sync_warp();
  if (lane == 0) ptx::mbarrier_arrive(stages.written(stage));
}

// The consumers' side of one tile: kTileN columns of accumulators through the stages. `uses`
// counts how often a stage was used before.
template <int kTileN, int kStages, class T, class Epilogue>
SL_DEVICE void store_subtiles(const typename Epilogue::Params& p,
                              FragmentEpilogue<T, Epilogue>& fragments,
                              const SubtileStages<kStages>& stages, uint32_t& uses,
                              int first_column, int n, int thread, const float (&d)[kTileN / 2]) {
  constexpr int kOutputs = cuda::kOutputs<Epilogue>, kSubtiles = kTileN / kSubtileN;
  constexpr int kSteps = kSubtileN / 16;
  static_assert(kSubtiles * kOutputs % kStages == 0, "stages are used equally often in a tile");
  static_assert(kOutputs == 1 || !HasInput<Epilogue>, "a use's input is that of its output");
  const int lane = thread % 32;
  const MatrixRow at = accumulator_matrices(lane, thread / 32 * 16, 0);
  const auto load_next = [&](int subtile) {
    if (subtile + 1 == kSubtiles) return;
    fragments.load_columns(p, first_column + (subtile + 1) * kSubtileN + 2 * (lane % 4), n);
  };
#pragma unroll
  for (int subtile = 0; subtile < kSubtiles; ++subtile) {
    uint32_t words[kSteps][4];
#pragma unroll
    for (int output = 0; output < kOutputs; ++output) {
      const int use = subtile * kOutputs + output, stage = use % kStages;
      ptx::mbarrier_wait(stages.filled(stage), (uses + use / kStages) & 1);
#pragma unroll
      for (int kk = 0; kk < kSteps; ++kk) {
        const uint32_t to = stages.stage(stage) + swizzled_chunk<128>(at.row, at.chunk + 2 * kk);
        if (output == 0) {
          uint32_t in[4] = {};
          if constexpr (HasInput<Epilogue>) ptx::ldmatrix_x4(in, to);
          fragments.apply(p, kk, d + subtile * (kSubtileN / 2) + 8 * kk, in, words[kk]);
        } else if constexpr (kOutputs == 2) {
          fragments.second(words[kk]);
        }
        ptx::stmatrix_x4(to, words[kk]);
        // Under a second output once some words are free: ptxas would spill before.
        if (kOutputs == 2 && output == 1 && kk == 0) load_next(subtile);
      }
      commit_stage(stages, stage, lane);
      if (kOutputs == 1) load_next(subtile);
    }
  }
  uses += kSubtiles * kOutputs / kStages;
}

// Looks at accumulators and inputs of a whole tile, a stage for each subtile, and leaves the stages
// to store_subtiles. The epilogue only adds to its sums.
template <int kTileN, int kStages, class T, class Epilogue>
SL_DEVICE void read_subtiles(const typename Epilogue::Params& p,
                             FragmentEpilogue<T, Epilogue>& fragments,
                             const SubtileStages<kStages>& stages, uint32_t uses, int first_column,
                             int n, int thread, const float (&d)[kTileN / 2]) {
  static_assert(kStages == kTileN / kSubtileN, "a stage is read twice before it is written");
  const int lane = thread % 32;
  const MatrixRow at = accumulator_matrices(lane, thread / 32 * 16, 0);
#pragma unroll
  for (int subtile = 0; subtile < kStages; ++subtile) {
    ptx::mbarrier_wait(stages.filled(subtile), uses & 1);
#pragma unroll
    for (int kk = 0; kk < kSubtileN / 16; ++kk) {
      uint32_t in[4], unused[4];
      ptx::ldmatrix_x4(in, stages.stage(subtile) + swizzled_chunk<128>(at.row, at.chunk + 2 * kk));
      fragments.apply(p, kk, d + subtile * (kSubtileN / 2) + 8 * kk, in, unused);
    }
    if (subtile + 1 < kStages) {
      fragments.load_columns(p, first_column + (subtile + 1) * kSubtileN + 2 * (lane % 4), n);
    }
  }
}

}  // namespace sightline::cuda
