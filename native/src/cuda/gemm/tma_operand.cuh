// A matrix of rows, which may come in batches, as TMA reaches it: an Operand
// (operand.h) with its tensor map.
#pragma once

#include "cuda/ptx/tensor_map.cuh"
#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

struct TmaOperand {
  ptx::TensorMap map;
  uint32_t first_row, rows_per_batch;  // row 0 of the product is first_row

  // The map's second and third coordinates of a row of the product.
  struct Coordinates {
    int y, z;
  };
  SL_DEVICE Coordinates at(int row) const {
    const uint32_t i = first_row + static_cast<uint32_t>(row), batch = i / rows_per_batch;
    return {static_cast<int>(i - batch * rows_per_batch), static_cast<int>(batch)};
  }
};

}  // namespace sightline::cuda
