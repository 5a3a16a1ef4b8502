// One block a tile, and with split k one block a tile and part of k: what the kernels whose tiles
// are the grid (portable_sm80.cuh, simt_f32.cuh) share.
#pragma once

#include "cuda/gemm/epilogue.cuh"
#include "cuda/gemm/problem.h"
#include "cuda/gemm/raster.h"
#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

// Kernel::run_tile(problem, epilogue, tile, split) computes kTileM x kTileN elements.
template <class Kernel, IsEpilogue Epilogue, int kTileM, int kTileN>
struct TileGrid {
  static_assert(kTileM == kAlternateBlockRows, "a tile reads one of the two A operands");

  struct Params {
    GemmProblem problem;
    int tiles_m, tiles_n;
    typename Epilogue::Params epilogue;
  };

  static Params params(const GemmProblem& problem, const typename Epilogue::Params& epilogue) {
    return {problem, ceil_div(problem.m, kTileM), ceil_div(problem.n, kTileN), epilogue};
  }
  static int64_t blocks(const Params& p) {
    return checked_product(p.tiles_m, p.tiles_n, Epilogue::kSplitK ? p.problem.splits : 1);
  }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int tiles = p.tiles_m * p.tiles_n;
    const int split = Epilogue::kSplitK ? ptx::block_id() / tiles : 0;
    const TileIndex tile = raster(ptx::block_id() - split * tiles, p.tiles_m, p.tiles_n);
    if constexpr (Epilogue::kSplitK) {
      Kernel::run_tile(p.problem, Epilogue::partial(p.epilogue, split), tile, split);
    } else {
      Kernel::run_tile(p.problem, p.epilogue, tile, split);
    }
  }
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

// The loaders of a tile's operands and their walk over blocks of k: the first segment, or a split's
// part of it, then the extra segments.
template <class LoaderA, class LoaderB, IsEpilogue Epilogue>
struct KWalk {
  static constexpr int kDepth = LoaderA::kDepth;

  LoaderA a;
  LoaderB b;
  int first_segment;  // blocks of it
  int begin, blocks;  // the first block, of a split; their number
  int segment_begin, segment_end, next_segment = 0;

  SL_DEVICE KWalk(const GemmProblem& problem, int split, TileIndex tile, int first_m, int first_n,
                  int thread)
      : a(problem.alternate_blocks != nullptr && problem.alternate_blocks[tile.m] != 0
              ? problem.a_alternate
              : problem.a,
          first_m, problem.m, problem.k, thread),
        b(problem.b, first_n, problem.n, problem.k, thread),
        first_segment(ceil_div(problem.k, kDepth)) {
    const BlockRange range = Epilogue::kSplitK ? split_blocks(first_segment, problem.splits, split)
                                               : BlockRange{0, first_segment};
    begin = range.begin, blocks = range.end - range.begin;
    segment_begin = -range.begin;
    segment_end = first_segment;
    if constexpr (Epilogue::kFusedK) {
      for (int i = 0; i < problem.extra_count; ++i) blocks += ceil_div(problem.extra[i].k, kDepth);
    }
  }

  // The first k of a block in its segment. Blocks come in order, so the loaders move on to the next
  // segment when they come to it.
  SL_DEVICE int seek(const GemmProblem& problem, int first_m, int first_n, int k_block,
                     int thread) {
    if constexpr (Epilogue::kFusedK) {
      if (k_block == segment_end) {
        const KSegment& segment = problem.extra[next_segment++];
        a = LoaderA(segment.a, first_m, problem.m, segment.k, thread);
        b = LoaderB(segment.b, first_n, problem.n, segment.k, thread);
        segment_begin = segment_end;
        segment_end += ceil_div(segment.k, kDepth);
      }
    }
    return (k_block - segment_begin) * kDepth;
  }
};

}  // namespace sightline::cuda
