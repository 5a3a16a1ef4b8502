// A matrix operand in global memory, seen as stored rows: rows of m (or n) with contiguous k for a
// K-major operand, rows of k with contiguous m (or n) for an MN-major one. The rows may come in
// batches, as the image tokens of [batch, sequence, hidden] states do.
//
// 16-bit operands: base address and strides are multiples of 16 bytes, and a row is readable up to
// its length rounded up to 8 elements; along k that remainder must hold zeros (in both operands).
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

struct Operand {
  const void* data = nullptr;
  int64_t row_stride = 0;  // in elements
  int64_t batch_stride = 0;
  uint32_t rows_per_batch = 0x7fffffff;  // one batch
  uint32_t first_row = 0;                // row 0 of the product is this row of the operand

  SL_HOST_DEVICE int64_t offset(uint32_t row) const {
    if (rows_per_batch == 0x7fffffff) return static_cast<int64_t>(first_row + row) * row_stride;
    const uint32_t i = first_row + row, batch = i / rows_per_batch;
    return batch * batch_stride + (i - batch * rows_per_batch) * row_stride;
  }
};

inline Operand matrix(const void* data, int64_t row_stride) {
  Operand operand;
  operand.data = data;
  operand.row_stride = row_stride;
  return operand;
}

}  // namespace sightline::cuda
