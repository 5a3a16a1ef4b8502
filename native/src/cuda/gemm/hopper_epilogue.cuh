// From a consumer's accumulators to memory, on Hopper: by rows through fp32 in shared memory, or by
// subtiles through TMA; with sums over the rows of a whole cluster in between where the epilogue
// asks for them.
#pragma once

#include "cuda/gemm/hopper_store.cuh"
#include "cuda/ptx/cluster.cuh"

namespace sightline::cuda {

template <class Gemm>
struct HopperEpilogue {
  using T = typename Gemm::Element;
  using Params = typename Gemm::Params;
  using Shared = typename Gemm::Shared;
  using Epilogue = typename Gemm::Epilogue;
  static constexpr int kTileM = Gemm::kTileM, kTileN = Gemm::kTileN;
  static constexpr int kConsumerThreads = Gemm::kConsumerThreads;

  // Fills the rows' scratch, then takes the accumulators through shared memory by subtiles.
  template <class Part>
  static SL_DEVICE void write(const Params& p, const Shared& shared, TileIndex tile, int group,
                              int thread, float (&d)[kTileN / 2]) {
    const int first_m = tile.m * kTileM + group * 64;
    float4* row_scratch = shared.row_scratch() + group * 64;
    if (thread < 64)
      init_row_scratch<Part>(p.epilogue, row_scratch + thread, first_m + thread, p.m);
    subtiles<Part>(p, shared, tile, group, thread, d);
    if (thread < 64)
      finish_row_scratch<Part>(p.epilogue, row_scratch + thread, first_m + thread, p.m, tile.n);
  }

  template <class Part>
  static SL_DEVICE void subtiles(const Params& p, const Shared& shared, TileIndex tile, int group,
                                 int thread, float (&d)[kTileN / 2]) {
    constexpr int kRegisters = kSubtileN / 2;
    const int first_m = tile.m * kTileM + group * 64, first_n = tile.n * kTileN;
    const StagedTile<kSubtileN> staged{shared.base + Gemm::kEpilogueAt +
                                       group * Gemm::kEpilogueBytes};
    const Position at = wgmma_accumulator(thread, 0);
#pragma unroll
    for (int subtile = 0; subtile < kTileN / kSubtileN; ++subtile) {
#pragma unroll
      for (int i = 0; i < kRegisters; i += 4) {
        const float* c = d + subtile * kRegisters + i;
        staged.put(at.row, at.column + 2 * i, c[0], c[1]);
        staged.put(at.row + 8, at.column + 2 * i, c[2], c[3]);
      }
      ptx::named_barrier(1 + group, kConsumerThreads);
      apply_epilogue<Part, 64, kSubtileN, kConsumerThreads>(
          p.epilogue, staged, shared.row_scratch() + group * 64, first_m,
          first_n + subtile * kSubtileN, p.m, p.n, thread);
      ptx::named_barrier(1 + group, kConsumerThreads);
    }
  }

  static SL_DEVICE void exchange_and_write(const Params& p, const Shared& shared, TileIndex tile,
                                           int cta_rank, int group, int thread, int exchanges,
                                           float (&d)[kTileN / 2]) {
    using First = typename Epilogue::First;
    const int row = tile.m * kTileM + group * 64 + thread;
    if (thread < 64)
      init_row_scratch<First>(p.epilogue, shared.row_scratch() + group * 64 + thread, row, p.m);
    subtiles<First>(p, shared, tile, group, thread, d);
    exchange(p, shared, tile, cta_rank, group, thread, exchanges);
    if (p.tma.stores) subtiles<Epilogue>(p, shared, tile, group, thread, d);
  }

  static SL_DEVICE void exchange_and_store(const Params& p, const Shared& shared, TileIndex tile,
                                           int cta_rank, int group, int thread, int exchanges,
                                           FragmentEpilogue<T, typename Gemm::FirstPass>& first,
                                           uint32_t& uses, float (&d)[kTileN / 2]) {
    float4* row_scratch = shared.row_scratch() + group * 64 + wgmma_accumulator(thread, 0).row;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float4 sums = first.total(half);
      if (thread % 4 == 0) row_scratch[8 * half] = sums;
    }
    ptx::named_barrier(1 + group, kConsumerThreads);
    exchange(p, shared, tile, cta_rank, group, thread, exchanges);
    ptx::named_barrier(1 + group, kConsumerThreads);
    FragmentEpilogue<T, Epilogue> second;
    second.constants[0] = row_scratch[0];
    second.constants[1] = row_scratch[8];
    const int column = tile.n * kTileN;
    second.load_columns(p.epilogue, column + 2 * (thread % 4), p.n);
    store_subtiles<kTileN>(p.epilogue, second, shared.epilogue_stages(group), uses, column, p.n,
                           thread, d);
  }

  // From the sums of a row over this block's columns to what the epilogue makes of those over all,
  // in the row's scratch. Every block of the cluster gets the sums of all and adds them in the
  // order of their ranks. Two buffers suffice: a peer sends its sums of tile i + 2 only after it
  // has ours of i + 1, which we send after reading those of i.
  static SL_DEVICE void exchange(const Params& p, const Shared& shared, TileIndex tile,
                                 int cta_rank, int group, int thread, int exchanges) {
    const int first_m = tile.m * kTileM + group * 64;
    const int row = group * 64 + thread, buffer = exchanges % 2;
    float4* row_scratch = shared.row_scratch() + group * 64;
    const uint32_t barrier = shared.exchanged(buffer);
    const int sums_at = Gemm::kExchangeAt + buffer * Gemm::kExchangeBytes;
    if (group == 0 && thread == 0) ptx::mbarrier_arrive_expect_tx(barrier, Gemm::kExchangeBytes);
    if (thread < 64) {
      const float4 own = row_scratch[thread];
      for (int peer = 0; peer < Gemm::kCluster; ++peer) {
        ptx::store_async_remote(shared.address + sums_at + (cta_rank * kTileM + row) * 16, barrier,
                                peer, own);
      }
    }
    ptx::mbarrier_wait_cluster(barrier, exchanges / 2 % 2);
    if (thread < 64) {
      const float4* sums = reinterpret_cast<const float4*>(shared.base + sums_at);
      float4 total = sums[row];
      for (int peer = 1; peer < Gemm::kCluster; ++peer) {
        const float4 other = sums[peer * kTileM + row];
        total.x += other.x;
        total.y += other.y;
        total.z += other.z;
      }
      if (first_m + thread < p.m) {
        row_scratch[thread] = Epilogue::combine(p.epilogue, first_m + thread, total, cta_rank == 0);
      }
    }
  }
};

}  // namespace sightline::cuda
