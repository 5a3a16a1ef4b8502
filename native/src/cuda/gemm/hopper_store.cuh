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

#include "cuda/gemm/swizzle.h"
#include "cuda/gemm/tile_epilogue.cuh"
#include "cuda/gemm/tma_operand.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mbarrier.cuh"
#include "cuda/ptx/stmatrix.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/ptx/tma.cuh"

namespace sightline::cuda {

constexpr int kSubtileBytes = kSubtileM * kSubtileN * 2;

// Kernel parameters; nothing for epilogues that go by rows alone.
template <class Epilogue>
struct TmaMatrices {};
template <HasTiles Epilogue>
struct TmaMatrices<Epilogue> {
  TmaOperand input, output[Epilogue::kTileOutputs];
  bool used;    // else by rows
  bool stores;  // else the input is all that moves
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
  constexpr int kOutputs = Epilogue::kTileOutputs, kSubtiles = kTileN / kSubtileN;
  constexpr int kSteps = kSubtileN / 16;
  static_assert(kSubtiles * kOutputs % kStages == 0, "stages are used equally often in a tile");
  static_assert(kOutputs == 1 || !Epilogue::kTileInput, "a use's input is that of its output");
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
          if constexpr (Epilogue::kTileInput) ptx::ldmatrix_x4(in, to);
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
