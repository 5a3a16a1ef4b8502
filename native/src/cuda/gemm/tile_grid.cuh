// One block a tile, and with split k one block a tile and part of k: what the kernels whose tiles
// are the grid (portable_sm80.cuh, simt_f32.cuh) share around a tile.
#pragma once

#include "cuda/gemm/problem.h"
#include "cuda/gemm/raster.h"
#include "cuda/gemm/row_epilogue.cuh"
#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

// Kernel::run_tile(problem, epilogue, tile, split) computes kTileM x kTileN elements.
template <class Kernel, class Epilogue, int kTileM, int kTileN>
struct TileGrid {
  struct Params {
    GemmProblem problem;
    int tiles_m, tiles_n;
    typename Epilogue::Params epilogue;
  };

  static Params params(const GemmProblem& problem, const typename Epilogue::Params& epilogue) {
    return {problem, ceil_div(problem.m, kTileM), ceil_div(problem.n, kTileN), epilogue};
  }
  static int64_t blocks(const Params& p) {
    return checked_product(p.tiles_m, p.tiles_n, kHasSplitK<Epilogue> ? p.problem.splits : 1);
  }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int tiles = p.tiles_m * p.tiles_n;
    const int split = kHasSplitK<Epilogue> ? ptx::block_id() / tiles : 0;
    const TileIndex tile = raster(ptx::block_id() - split * tiles, p.tiles_m, p.tiles_n);
    if constexpr (kHasSplitK<Epilogue>) {
      Kernel::run_tile(p.problem, Epilogue::split(p.epilogue, split), tile, split);
    } else {
      Kernel::run_tile(p.problem, p.epilogue, tile, split);
    }
  }
};

}  // namespace sightline::cuda
