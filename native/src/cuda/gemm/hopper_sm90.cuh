// C[m,n] = epilogue(A[m,k] B[n,k]^T [+ extra segments]), 16-bit operands, fp32 accumulation,
// sm_90a.
//
// A block of three warpgroups computes 128 x kTileN tiles, persistently:
//   warpgroup 0     producer: one thread fills kStages stages of 64 k by TMA; one thread each of
//                   warps 1 and 2 is a consumer's store thread (hopper_store.cuh)
//   warpgroup 1, 2  consumers: rows 0-63 and 64-127 of the tile by wgmma m64n(kTileN)k16
// A cluster of kClusterM blocks takes tiles with the same columns: each loads its part of B and
// multicasts it. A cluster of kClusterN takes tiles with the same rows and does so with A.
//
//   full[s]   1 arrival, the producer's: expect_tx of all bytes that land here, peers' included
//   empty[s]  one arrival per consumer warp of every block of the cluster
// A consumer releases a stage one step late: after wgmma_wait<1> the previous stage's products are
// done, the current one's are in flight. Stage and phase run on from tile to tile on both sides.
//
// The accumulators leave in subtiles of 64 columns through 16 KB of shared memory per consumer
// warpgroup, while the producer already loads the next tile: as 16-bit subtiles that TMA stores
// under the next subtile and the next tile's products where the epilogue's matrices allow it, else
// by rows. Shared memory: stages, the epilogue's stages, one float4 per row, [sums of the cluster],
// barriers.
#pragma once

#include <algorithm>

#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/fragments.h"
#include "cuda/gemm/hopper_epilogue.cuh"
#include "cuda/gemm/hopper_producer.cuh"
#include "cuda/gemm/hopper_store.cuh"
#include "cuda/gemm/problem.h"
#include "cuda/gemm/raster.h"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/mbarrier.cuh"
#include "cuda/ptx/setmaxnreg.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/ptx/tma.cuh"
#include "cuda/ptx/wgmma.cuh"

namespace sightline::cuda {

template <class Epilogue>
struct FirstPassOf {
  using Type = Epilogue;
};
template <TwoPass Epilogue>
struct FirstPassOf<Epilogue> {
  using Type = typename Epilogue::First;
};

template <class T, int kTileN_, int kClusterM_, int kClusterN_, int kStages_, Major kMajorA_,
          Major kMajorB_, IsEpilogue Epilogue_>
struct HopperGemm {
  using Element = T;
  using Epilogue = Epilogue_;
  using Producer = HopperProducer<HopperGemm>;
  using ConsumerEpilogue = HopperEpilogue<HopperGemm>;
  static constexpr int kTileM = 128, kTileN = kTileN_, kStages = kStages_;
  static constexpr int kClusterM = kClusterM_, kClusterN = kClusterN_;
  static constexpr Major kMajorA = kMajorA_, kMajorB = kMajorB_;
  static constexpr int kCluster = kClusterM * kClusterN;
  static constexpr int kThreads = 384, kMinBlocks = 1;
  static constexpr int kConsumerThreads = 128;
  static constexpr int kConsumerWarps = 8;
  static constexpr bool kExchange = TwoPass<Epilogue>;
  static constexpr bool kTma = HasTma<Epilogue, T>;
  using FirstPass = typename FirstPassOf<Epilogue>::Type;

  static constexpr int kBytesA = kTileM * kTileRowBytes, kBytesB = kTileN * kTileRowBytes;
  static constexpr int kStageBytes = kBytesA + kBytesB;
  // Sums of whole rows need the epilogue's input twice, and have room for all of it.
  using WarpgroupStages = SubtileStages<kExchange ? kTileN / kSubtileN : 2>;
  static constexpr int kEpilogueBytes =
      std::max(StagedTile<kSubtileN>::bytes(64), WarpgroupStages::kStages* kSubtileBytes);
  static constexpr int kEpilogueAt = kStages * kStageBytes;
  static constexpr int kRowScratchAt = kEpilogueAt + 2 * kEpilogueBytes;
  static constexpr int kExchangeAt = kRowScratchAt + kTileM * 16;
  static constexpr int kExchangeBytes = kCluster * kTileM * 16;  // one float4 per block and row
  static constexpr int kBarriersAt = kExchangeAt + (kExchange ? 2 * kExchangeBytes : 0);
  static constexpr int kEpilogueBarriersAt = 2 * kStages + 2;
  static constexpr int kSharedBytes =
      kBarriersAt + (kEpilogueBarriersAt + 2 * WarpgroupStages::kBarriers) * 8;

  static_assert(kTileN == 128 || kTileN == 256, "the wgmma shapes wrapped in ptx/wgmma.cuh");
  static_assert(kClusterM == 1 || kClusterN == 1, "one operand is shared, not both");
  static_assert(kClusterN == 1 || kMajorA == Major::kK, "a part of A is a range of its rows");
  static_assert(!kExchange || kClusterM == 1, "sums are exchanged along a row of tiles");
  static_assert(kStageBytes % kSwizzleAtomBytes == 0 && kBytesA % kSwizzleAtomBytes == 0,
                "every tile starts on a swizzle atom, so the descriptors' base offset is 0");
  static_assert(kSharedBytes <= 232448, "227 KB per block on sm_90");
  static_assert(kEpilogueBytes % kSwizzleAtomBytes == 0, "TMA's swizzle");
  static_assert(kStages >= 2, "a stage is released one step late");
  static_assert(Epilogue::kMask == Mask::kNone || Epilogue::kMask == Mask::kOutput,
                "accumulators changed between products make ptxas serialise wgmma (C7515)");
  static_assert(kTileM == kAlternateBlockRows, "a tile reads one of the two A operands");

  // Boxes of the tensor maps, innermost first.
  static constexpr int kBoxRowsA = kMajorA == Major::kK ? kTileM / kClusterN : kBlockK;
  static constexpr int kBoxRowsB = kMajorB == Major::kK ? kTileN / kClusterM : kBlockK;

  struct Params {
    TmaOperand a, a_alternate;  // batches and first rows are multiples of kTileM, or one batch
    ptx::TensorMap b;
    const int* alternate_blocks;
    int m, n, k;
    int k_blocks;  // of all segments
    HopperSegments<Epilogue::kFusedK> extra;
    TmaMatrices<Epilogue, kTma> tma;
    typename Epilogue::Params epilogue;
  };

  struct Tiles {
    int m, n;  // in clusters
    SL_HOST_DEVICE Tiles(int rows, int columns)
        : m(ceil_div(rows, kTileM * kClusterM)), n(ceil_div(columns, kTileN * kClusterN)) {}
    SL_HOST_DEVICE int count() const { return m * n; }
    int64_t checked_count() const { return checked_product(m, n); }
  };

  // Position in the ring of stages. A fresh barrier lets the producer's phase 1 pass.
  struct Stage {
    int index = 0;
    uint32_t phase;
    SL_DEVICE void advance() {
      if (++index == kStages) index = 0, phase ^= 1;
    }
  };

  struct Shared {
    uint8_t* base;
    uint32_t address;
    SL_DEVICE uint32_t a(int stage) const { return address + stage * kStageBytes; }
    SL_DEVICE uint32_t b(int stage) const { return a(stage) + kBytesA; }
    SL_DEVICE uint32_t full(int stage) const { return address + kBarriersAt + stage * 8; }
    SL_DEVICE uint32_t empty(int stage) const { return full(kStages + stage); }
    SL_DEVICE uint32_t exchanged(int buffer) const { return full(2 * kStages + buffer); }
    SL_DEVICE float4* row_scratch() const {
      return reinterpret_cast<float4*>(base + kRowScratchAt);
    }
    SL_DEVICE WarpgroupStages epilogue_stages(int group) const {
      return {address + kEpilogueAt + group * kEpilogueBytes,
              full(kEpilogueBarriersAt + group * WarpgroupStages::kBarriers)};
    }
  };

  static SL_DEVICE void run(const Params& p) {
    const Shared shared{ptx::shared_memory(), ptx::shared_address(ptx::shared_memory())};
    if (shared.address % kSwizzleAtomBytes != 0) ptx::trap();
    const int cta_rank = kCluster == 1 ? 0 : ptx::cluster_ctarank();
    const int warp = ptx::warp_id();

    if (ptx::thread_id() == 0) {
      ptx::tma_prefetch_map(p.a.map);
      ptx::tma_prefetch_map(p.b);
      for (int s = 0; s < kStages; ++s) {
        ptx::mbarrier_init(shared.full(s), 1);
        ptx::mbarrier_init(shared.empty(s), kConsumerWarps * kCluster);
      }
      ptx::mbarrier_init(shared.exchanged(0), 1);
      ptx::mbarrier_init(shared.exchanged(1), 1);
      for (int group = 0; group < 2; ++group) shared.epilogue_stages(group).init();
      ptx::mbarrier_init_fence();
    }
    ptx::sync_warp();
    ptx::cluster_sync();  // no block signals a peer whose barriers are not ready
    ptx::grid_dependency_wait();

    if (warp < 4) {
      ptx::setmaxnreg_dec<40>();
      if (ptx::thread_id() == 0) Producer::load(p, shared, cta_rank);
      if constexpr (kTma) {
        const int group = warp - 1;
        if (p.tma.used && (group == 0 || group == 1) && ptx::thread_id() % 32 == 0) {
          Producer::store_thread(p, shared.epilogue_stages(group), cta_rank, group);
        }
      }
      ptx::sync_warp();
    } else {
      ptx::setmaxnreg_inc<232>();
      consume(p, shared, cta_rank, warp / 4 - 1);
      ptx::sync_warp();
    }
    ptx::cluster_sync();  // no block leaves while a peer may still write to it
  }

  static SL_DEVICE TileIndex tile_at(const Tiles& tiles, int index, int cta_rank) {
    const TileIndex cluster = raster(index, tiles.m, tiles.n);
    return {cluster.m * kClusterM + (kClusterM > 1 ? cta_rank : 0),
            cluster.n * kClusterN + (kClusterN > 1 ? cta_rank : 0)};
  }

  // Every warp signals for itself, to all blocks that write into this one's stages.
  static SL_DEVICE void release(const Shared& shared, int stage, int lane) {
    if (lane < kCluster) ptx::mbarrier_arrive_remote(shared.empty(stage), lane);
  }

  // group: 0 for rows 0-63 of the tile, 1 for rows 64-127.
  static SL_DEVICE void consume(const Params& p, const Shared& shared, int cta_rank, int group) {
    const Tiles tiles(p.m, p.n);
    const int k_blocks = p.k_blocks;
    const int thread = ptx::thread_id() % kConsumerThreads, lane = thread % 32;
    Stage stage{0, 0};
    int exchanges = 0;
    uint32_t uses = 0;  // of each epilogue stage
    for (int t = ptx::cluster_id(); t < tiles.count(); t += ptx::cluster_count()) {
      const TileIndex tile = tile_at(tiles, t, cta_rank);
      float d[kTileN / 2];
      int previous = 0;
      // The last tile's products are done: what follows in the stream may set itself up.
      const auto finish_products = [&] {
        ptx::wgmma_wait<0>();
        ptx::pin_accumulators(d);
        release(shared, previous, lane);
        if (t + ptx::cluster_count() >= tiles.count()) ptx::grid_dependency_launch();
      };
      for (int i = 0; i < k_blocks; ++i, stage.advance()) {
        ptx::mbarrier_wait(shared.full(stage.index), stage.phase);
        const uint64_t a = tile_descriptor<kMajorA>(shared.a(stage.index) + group * kHalfTileBytes);
        const uint64_t b = tile_descriptor<kMajorB>(shared.b(stage.index));
        ptx::pin_accumulators(d);
        ptx::wgmma_fence();
#pragma unroll
        for (int kk = 0; kk < kBlockK / 16; ++kk) {
          ptx::Wgmma<T, kTileN>::template issue<kMajorA == Major::kMN, kMajorB == Major::kMN>(
              d, a + kk * kDescriptorStep<kMajorA>, b + kk * kDescriptorStep<kMajorB>, i + kk > 0);
        }
        ptx::wgmma_commit();
        ptx::pin_accumulators(d);
        ptx::wgmma_wait<1>();
        if (i > 0) release(shared, previous, lane);
        previous = stage.index;
      }
      if constexpr (kTma) {
        if (p.tma.used) {
          const int row = tile.m * kTileM + group * kSubtileM + wgmma_accumulator(thread, 0).row;
          const int column = tile.n * kTileN;
          FragmentEpilogue<T, FirstPass> fragments;
          fragments.begin(p.epilogue, row, p.m);  // travels under the last products
          fragments.load_columns(p.epilogue, column + 2 * (lane % 4), p.n);
          finish_products();
          if constexpr (kExchange) {
            read_subtiles<kTileN>(p.epilogue, fragments, shared.epilogue_stages(group), uses,
                                  column, p.n, thread, d);
            ConsumerEpilogue::exchange_and_store(p, shared, tile, cta_rank, group, thread,
                                                 exchanges++, fragments, uses, d);
          } else {
            store_subtiles<kTileN>(p.epilogue, fragments, shared.epilogue_stages(group), uses,
                                   column, p.n, thread, d);
            fragments.finish(p.epilogue, row, p.m, tile.n, lane);
          }
          continue;
        }
      }
      finish_products();
      if constexpr (kExchange) {
        ConsumerEpilogue::exchange_and_write(p, shared, tile, cta_rank, group, thread, exchanges++,
                                             d);
      } else {
        ConsumerEpilogue::template write<Epilogue>(p, shared, tile, group, thread, d);
      }
    }
  }
};

}  // namespace sightline::cuda
