// The producer warpgroup of the Hopper kernel: one thread loads the operands' blocks of 64 k into
// the ring of stages, and one store thread for each consumer warpgroup moves what its epilogue
// reads and writes (hopper_store.cuh).
#pragma once

#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/hopper_store.cuh"
#include "cuda/gemm/problem.h"
#include "cuda/gemm/raster.h"
#include "cuda/ptx/cluster.cuh"

namespace sightline::cuda {

// Maps and sizes of the segments after the first; nothing for epilogues without kFusedK.
struct HopperSegment {
  TmaOperand a;
  ptx::TensorMap b;
  int k;
};
template <bool kFusedK>
struct HopperSegments {
  static constexpr int count = 0;
};
template <>
struct HopperSegments<true> {
  HopperSegment segment[kMaxExtraSegments];
  int count;
};

template <class Gemm>
struct HopperProducer {
  using Params = typename Gemm::Params;
  using Shared = typename Gemm::Shared;
  using Epilogue = typename Gemm::Epilogue;
  using Tiles = typename Gemm::Tiles;
  static constexpr int kTileM = Gemm::kTileM, kTileN = Gemm::kTileN;

  static SL_DEVICE void load(const Params& p, const Shared& shared, int cta_rank) {
    const Tiles tiles(p.m, p.n);
    typename Gemm::Stage stage{0, 1};
    for (int t = ptx::cluster_id(); t < tiles.count(); t += ptx::cluster_count()) {
      const TileIndex tile = Gemm::tile_at(tiles, t, cta_rank);
      const int first_m = tile.m * kTileM, first_n = tile.n * kTileN;
      const bool alternate =
          p.alternate_blocks != nullptr && first_m < p.m && p.alternate_blocks[tile.m] != 0;
      load_segment(shared, stage, alternate ? p.a_alternate : p.a, p.b, first_m, first_n, p.k,
                   cta_rank);
      if constexpr (Epilogue::kFusedK) {
        for (int j = 0; j < p.extra.count; ++j) {
          const HopperSegment& segment = p.extra.segment[j];
          load_segment(shared, stage, segment.a, segment.b, first_m, first_n, segment.k, cta_rank);
        }
      }
    }
    // Until every peer's arrivals are in.
    for (int s = 0; s < Gemm::kStages; ++s, stage.advance()) {
      ptx::mbarrier_wait(shared.empty(stage.index), stage.phase);
    }
  }

  static SL_DEVICE void load_segment(const Shared& shared, typename Gemm::Stage& stage,
                                     const TmaOperand& a, const ptx::TensorMap& b, int first_m,
                                     int first_n, int k, int cta_rank) {
    const int k_blocks = ceil_div(k, kBlockK);
    for (int i = 0; i < k_blocks; ++i, stage.advance()) {
      ptx::mbarrier_wait(shared.empty(stage.index), stage.phase);
      ptx::mbarrier_arrive_expect_tx(shared.full(stage.index), Gemm::kStageBytes);
      load_a(a, shared, stage.index, first_m, i * kBlockK, cta_rank);
      load_b(b, shared, stage.index, first_n, i * kBlockK, cta_rank);
    }
  }

  static SL_DEVICE void load_a(const TmaOperand& rows, const Shared& shared, int stage, int first_m,
                               int k, int cta_rank) {
    const uint32_t full = shared.full(stage), to = shared.a(stage);
    if constexpr (Gemm::kMajorA == Major::kMN) {
      for (int i = 0; i < kTileM / 64; ++i) {
        ptx::tma_load(to + i * kHalfTileBytes, rows.map, full, first_m + 64 * i, k, 0);
      }
    } else if constexpr (Gemm::kClusterN > 1) {
      const auto at = rows.at(first_m + cta_rank * Gemm::kBoxRowsA);
      ptx::tma_load_multicast(to + cta_rank * Gemm::kBoxRowsA * kTileRowBytes, rows.map, full,
                              (1 << Gemm::kClusterN) - 1, k, at.y, at.z);
    } else {
      const auto at = rows.at(first_m);
      ptx::tma_load(to, rows.map, full, k, at.y, at.z);
    }
  }

  static SL_DEVICE void load_b(const ptx::TensorMap& map, const Shared& shared, int stage,
                               int first_n, int k, int cta_rank) {
    constexpr uint16_t kAll = (1 << Gemm::kClusterM) - 1;
    const int part = Gemm::kClusterM > 1 ? cta_rank : 0;
    const uint32_t full = shared.full(stage);
    const uint32_t at = shared.b(stage) + part * (Gemm::kBytesB / Gemm::kClusterM);
    constexpr int kBoxes = Gemm::kMajorB == Major::kK ? 1 : kTileN / 64 / Gemm::kClusterM;
    static_assert(kBoxes >= 1, "every block loads a part");
    for (int i = 0; i < kBoxes; ++i) {
      const uint32_t to = at + i * kHalfTileBytes;
      const int column = first_n + part * (kTileN / Gemm::kClusterM) + 64 * i;
      constexpr bool kRowsOfN = Gemm::kMajorB == Major::kK;
      const int x = kRowsOfN ? k : column, y = kRowsOfN ? column : k;
      if constexpr (Gemm::kClusterM > 1) {
        ptx::tma_load_multicast(to, map, full, kAll, x, y, 0);
      } else {
        ptx::tma_load(to, map, full, x, y, 0);
      }
    }
  }

  // The store thread of a consumer warpgroup: fills its stages ahead and stores what it wrote.
  static SL_DEVICE void store_thread(const Params& p, const typename Gemm::WarpgroupStages& stages,
                                     int cta_rank, int group) {
    constexpr int kStages = Gemm::WarpgroupStages::kStages;
    constexpr int kOutputs = cuda::kOutputs<Epilogue>, kUses = kTileN / kSubtileN * kOutputs;
    const Tiles tiles(p.m, p.n);
    struct Use {
      int cluster_tile, index;
    };
    const auto next = [&](Use& use) {
      if (++use.index == kUses) {
        use = {use.cluster_tile + static_cast<int>(ptx::cluster_count()), 0};
      }
    };
    const auto subtile = [&](const Use& use) -> Subtile {
      const TileIndex tile = Gemm::tile_at(tiles, use.cluster_tile, cta_rank);
      return {tile.m * kTileM + group * kSubtileM,
              tile.n * kTileN + use.index / kOutputs * kSubtileN};
    };
    const auto fill = [&](const Use& use, int stage) {
      if (use.cluster_tile >= tiles.count()) return;
      if constexpr (HasInput<Epilogue>) {
        load_stage(p.tma.input, stages, stage, subtile(use));
      } else {
        ptx::mbarrier_arrive(stages.filled(stage));
      }
    };
    Use to_fill{ptx::cluster_id(), 0}, to_store = to_fill;
    for (int stage = 0; stage < kStages; ++stage, next(to_fill)) fill(to_fill, stage);
    for (uint32_t i = 0; to_store.cluster_tile < tiles.count(); ++i, next(to_store)) {
      const int stage = static_cast<int>(i % kStages);
      ptx::mbarrier_wait(stages.written(stage), i / kStages % 2);
      const Subtile at = subtile(to_store);
      if (p.tma.stores && at.row < p.m && at.column < p.n) {
        store_stage(p.tma.output[to_store.index % kOutputs], stages, stage, at);
      }
      fill(to_fill, stage);
      next(to_fill);
    }
  }
};

}  // namespace sightline::cuda
