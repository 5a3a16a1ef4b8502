// What the API layer hands to a backend: arguments already checked, reduced to pointers, sizes and
// strides. No ownership, no DLPack, no error handling from here on.
#pragma once

#include <cstdint>

namespace sightline {

enum class DType : uint8_t { kFloat32, kBFloat16, kInt16 };

inline int64_t element_size(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

// A [batch, rows, cols] view with contiguous columns. A matrix has batch == 1 (or collapsed
// strides); row i of the flattened view is (i / rows, i % rows).
struct View3 {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t batch = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t batch_stride = 0;  // in elements
  int64_t row_stride = 0;    // in elements

  int64_t total_rows() const { return batch * rows; }
  explicit operator bool() const { return data != nullptr; }

  // Address of element (i, column), whatever the dtype.
  char* at(int64_t i, int64_t column) const {
    return static_cast<char*>(data) +
           ((i / rows) * batch_stride + (i % rows) * row_stride + column) * element_size(dtype);
  }
  // Address of row i of the flattened view.
  template <typename T>
  T* row(int64_t i) const {
    return static_cast<T*>(data) + (i / rows) * batch_stride + (i % rows) * row_stride;
  }
};

// A [rows, cols] matrix with contiguous columns; vectors have rows == 1.
struct View2 {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // in elements

  char* at(int64_t row, int64_t column) const {
    return static_cast<char*>(data) + (row * row_stride + column) * element_size(dtype);
  }
  explicit operator bool() const { return data != nullptr; }
};

// A contiguous run of elements.
struct Span {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t size = 0;

  explicit operator bool() const { return data != nullptr; }
};

}  // namespace sightline
