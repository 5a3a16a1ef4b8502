// Which tile the Hopper kernel uses for a shape: an estimate in clocks, from the rates in the
// tables of the hardware, not from measurements. Smaller is better.
#pragma once

#include <algorithm>

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

struct HopperTile {
  int columns;    // 128 or 256; rows are 128
  int cluster_m;  // blocks that share the columns, and B by multicast
};

inline constexpr HopperTile kHopperTiles[] = {{256, 2}, {128, 2}};

// One block of 64 k: tensor cores do 4096 multiply-adds per clock in 16 bit; shared memory moves
// 128 bytes per clock, for both warpgroups' operands (64 rows of A and all of B each) and for the
// fill.
constexpr int64_t k_block_clocks(int columns) {
  const int64_t products = int64_t{128} * columns * 64 / 2048;
  const int64_t operands = 2 * (64 + columns) * 128;
  const int64_t fill = (128 + columns) * 128;
  return std::max(products, (operands + fill) / 128);
}

// Pipeline fill, and per column the epilogue's arithmetic and staging, which overlap no products:
// ten instructions an element at 128 a clock are 10 clocks a column, stmatrix and the columns'
// values 4 (gemm/epilogue.cuh), partly under them.
constexpr int64_t kFillClocks = 1500, kEpilogueClocksPerColumn = 12;

constexpr int64_t hopper_cost(HopperTile tile, int m, int n, int k, int sms) {
  const int64_t clusters = std::max(1, sms / tile.cluster_m);
  const int64_t tiles = int64_t{ceil_div(m, 128 * tile.cluster_m)} * ceil_div(n, tile.columns);
  const int64_t waves = (tiles + clusters - 1) / clusters;
  return kFillClocks + waves * (ceil_div(k, 64) * k_block_clocks(tile.columns) +
                                kEpilogueClocksPerColumn * tile.columns);
}

constexpr HopperTile pick_hopper_tile(int m, int n, int k, int sms) {
  HopperTile best = kHopperTiles[0];
  for (const HopperTile& tile : kHopperTiles) {
    if (hopper_cost(tile, m, n, k, sms) < hopper_cost(best, m, n, k, sms)) best = tile;
  }
  return best;
}

}  // namespace sightline::cuda
