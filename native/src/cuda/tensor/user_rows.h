// From the views that the API layer hands down to the rows that kernels read and write.
#pragma once

#include "cuda/tensor/operand.h"
#include "cuda/tensor/vector8.h"

namespace sightline::cuda {

inline UserRows user_rows(const View3& view) {
  UserRows rows;
  rows.data = view.data;
  rows.dtype = view.dtype;
  rows.columns = static_cast<int>(view.cols);
  // Batches that follow each other without a gap are one.
  const bool one = view.batch <= 1 || view.batch_stride == view.rows * view.row_stride;
  rows.rows_per_batch = one ? 0x7fffffffu : static_cast<uint32_t>(view.rows);
  rows.row_stride = view.row_stride;
  rows.batch_stride = one ? 0 : view.batch_stride;
  const auto aligned = [&](int64_t elements) {
    return elements * element_size(view.dtype) % 16 == 0;
  };
  rows.vector = view.cols % 8 == 0 && reinterpret_cast<uintptr_t>(view.data) % 16 == 0 &&
                aligned(rows.row_stride) && aligned(rows.batch_stride);
  return rows;
}

inline UserRows user_rows(const View2& view) {
  View3 batched;
  batched.data = view.data;
  batched.dtype = view.dtype;
  batched.batch = 1;
  batched.rows = view.rows;
  batched.cols = view.cols;
  batched.row_stride = view.row_stride;
  return user_rows(batched);
}

// A product may read the rows where they lie: every 16-byte chunk is aligned and whole.
inline Operand operand_of(const UserRows& rows, int64_t first_row) {
  Operand operand;
  operand.data = rows.data;
  operand.row_stride = rows.row_stride;
  operand.batch_stride = rows.batch_stride;
  operand.rows_per_batch = rows.rows_per_batch;
  operand.first_row = static_cast<uint32_t>(first_row);
  return operand;
}

// Whether TMA reaches rows [first_row, first_row + m) in tiles of 64 rows, as n columns
// of `dtype`, without touching rows past the last: a tile stays inside one batch and is whole, or
// the tensor map ends with the rows.
inline bool tiles_reach(const UserRows& rows, DType dtype, int64_t first_row, int m, int n) {
  const bool one_batch = first_row + m <= static_cast<int64_t>(rows.rows_per_batch);
  const bool whole = rows.rows_per_batch % 64 == 0 && first_row % 64 == 0 && m % 64 == 0;
  return rows.vector && rows.dtype == dtype && rows.columns == n && (one_batch || whole);
}

}  // namespace sightline::cuda
