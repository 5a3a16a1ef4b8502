// Matrices in global memory, a row at a time: callers' tensors and internal ones.
#pragma once

#include <type_traits>

#include "cuda/tensor/operand.h"
#include "cuda/tensor/vector8.h"

namespace sightline::cuda {

// A caller's [batch, rows, columns] tensor: any row and batch strides, any number of columns. Rows
// count through the batches. `vector` promises that columns are a multiple of 8 and every row
// starts on 16 bytes; else elements move one by one, and columns past the end read as zero.
struct UserRows {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  bool vector = false;
  int columns = 0;
  uint32_t rows_per_batch = 1;
  int64_t row_stride = 0, batch_stride = 0;

  SL_HOST_DEVICE int64_t offset(uint32_t row) const {
    const uint32_t batch = row / rows_per_batch;
    return batch * batch_stride + (row - batch * rows_per_batch) * row_stride;
  }

  template <int kCount>
  SL_HOST_DEVICE void load(uint32_t row, int column, float (&x)[kCount]) const {
    if (dtype == DType::kFloat32) {
      load_as<float>(row, column, x);
    } else {
      load_as<Bf16>(row, column, x);
    }
  }

  SL_HOST_DEVICE void store(uint32_t row, int column, const float (&x)[8]) const {
    if (dtype == DType::kFloat32) {
      store_as<float>(row, column, x);
    } else {
      store_as<Bf16>(row, column, x);
    }
  }

  // x, added to what stands there if `accumulate`.
  SL_HOST_DEVICE void put(uint32_t row, int column, float (&x)[8], bool accumulate) const {
    if (accumulate) {
      float old[8];
      load(row, column, old);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] += old[i];
    }
    store(row, column, x);
  }

  template <class T, int kCount>
  SL_HOST_DEVICE void load_as(uint32_t row, int column, float (&x)[kCount]) const {
    const T* from = static_cast<const T*>(data) + offset(row) + column;
    if constexpr (kCount == 8) {
      if (vector) {
        load8(from, x);
        return;
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] = column + i < columns ? to_float(from[i]) : 0.f;
  }

  template <class T>
  SL_HOST_DEVICE void store_as(uint32_t row, int column, const float (&x)[8]) const {
    T* to = static_cast<T*>(data) + offset(row) + column;
    if (vector) {
      store8(to, x);
      return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (column + i < columns) to[i] = from_float<T>(x[i]);
    }
  }
};

// From the views that the API layer hands down.
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

// Rows of a caller's tensor from first_row on, which results are added to if `accumulate`.
struct RowRange {
  const UserRows& rows;
  int64_t first_row = 0;
  bool accumulate = false;

  SL_DEVICE void load(int row, int column, float (&x)[8]) const {
    rows.load(static_cast<uint32_t>(first_row + row), column, x);
  }
  SL_DEVICE void store(int row, int column, float (&x)[8]) const {
    rows.put(static_cast<uint32_t>(first_row + row), column, x, accumulate);
  }

  Operand operand() const { return operand_of(rows, first_row); }
  template <class T>
  static constexpr bool kTma = true;
  // Whether TMA reaches m rows in boxes of 64, as n columns of T, without touching rows past the
  // last: a box stays inside one batch and is whole, or the tensor map ends with the rows.
  template <class T>
  bool tma_reaches(int m, int n) const {
    const bool one_batch = first_row + m <= static_cast<int64_t>(rows.rows_per_batch);
    const bool whole = rows.rows_per_batch % 64 == 0 && first_row % 64 == 0 && m % 64 == 0;
    return !accumulate && rows.vector && rows.dtype == kDType<T> && rows.columns == n &&
           (one_batch || whole);
  }
};

// An internal matrix: columns and stride are multiples of 8.
template <class T>
struct RowMajor {
  using Element = T;
  T* data;
  int64_t stride;

  SL_DEVICE void load(int row, int column, float (&x)[8]) const {
    load8(data + row * stride + column, x);
  }
  SL_DEVICE void store(int row, int column, const float (&x)[8]) const {
    store8(data + row * stride + column, x);
  }

  Operand operand() const { return matrix(data, stride); }
  template <class Other>
  static constexpr bool kTma = std::is_same_v<T, Other>;
  template <class Other>
  bool tma_reaches(int, int) const {
    return kTma<Other>;
  }
};

}  // namespace sightline::cuda
