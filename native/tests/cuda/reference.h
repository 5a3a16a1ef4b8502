// Shared by the tests of the CUDA kernels: random matrices of any element type, error measures.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cuda/tensor/types.cuh"

namespace sightline::testing {

template <class T>
struct Matrix {
  int rows, columns, stride;

  Matrix(int rows_, int columns_, int stride_ = 0)
      : rows(rows_), columns(columns_), stride(stride_ ? stride_ : round_up(columns_, 8)) {
    storage_.assign(static_cast<size_t>(rows) * stride + 8, from_float<T>(0.f));
  }
  // Starts on 16 bytes.
  T* get() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return reinterpret_cast<T*>((address + 15) / 16 * 16);
  }
  const T* get() const { return const_cast<Matrix*>(this)->get(); }
  double at(int row, int column) const {
    return to_float(get()[static_cast<int64_t>(row) * stride + column]);
  }
  void set(int row, int column, double value) {
    get()[static_cast<int64_t>(row) * stride + column] = from_float<T>(static_cast<float>(value));
  }
  void fill(double value) {
    for (T& x : storage_) x = from_float<T>(static_cast<float>(value));
  }

 private:
  std::vector<T> storage_;
};

template <class T>
Matrix<T> random_matrix(int rows, int columns, std::mt19937& generator, double scale = 1.,
                        int stride = 0) {
  std::normal_distribution<double> normal(0., scale);
  Matrix<T> m(rows, columns, stride);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) m.set(i, j, normal(generator));
  }
  return m;
}

// ||out - expected|| / ||expected||, infinite if anything is not a number.
class RelativeError {
 public:
  void add(double out, double expected) {
    if (!std::isfinite(out)) bad_ = true;
    difference_ += (out - expected) * (out - expected);
    norm_ += expected * expected;
  }
  double value() const {
    if (bad_) return INFINITY;
    return norm_ > 0 ? std::sqrt(difference_ / norm_) : std::sqrt(difference_);
  }

 private:
  bool bad_ = false;
  double difference_ = 0, norm_ = 0;
};

}  // namespace sightline::testing
