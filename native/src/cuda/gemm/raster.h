// Order in which output tiles are computed: groups of kRasterGroup tile rows, column by column
// inside a group, so that the tiles in flight share few rows of A and few columns of B and both
// stay in L2.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

struct TileIndex {
  int m;
  int n;
};

constexpr int kRasterGroup = 8;

SL_HOST_DEVICE constexpr TileIndex raster(int index, int tiles_m, int tiles_n) {
  const int group = index / (kRasterGroup * tiles_n);
  const int first = group * kRasterGroup;
  const int rows = tiles_m - first < kRasterGroup ? tiles_m - first : kRasterGroup;
  const int inside = index - first * tiles_n;
  return {first + inside % rows, inside / rows};
}

}  // namespace sightline::cuda
