// Test data and error measures: fp64 values, their fp32 or bf16 copies in strided storage.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "common/views.h"
#include "numbers.h"

namespace sightline {

using numbers::from_bf16, numbers::relative_error, numbers::round_to_bf16, numbers::to_bf16;

// A [batch, rows, cols] tensor whose rows lie row_stride apart in a buffer filled with a canary
// that ends with the last element.
struct TestTensor {
  DType dtype;
  int64_t batch, rows, cols, batch_stride, row_stride;
  std::vector<uint8_t> bytes;

  TestTensor(DType type, int64_t b, int64_t r, int64_t c, int64_t row_gap = 0,
             int64_t batch_gap = 0)
      : dtype(type),
        batch(b),
        rows(r),
        cols(c),
        batch_stride(r * (c + row_gap) + batch_gap),
        row_stride(c + row_gap),
        bytes(static_cast<size_t>(b * r * c > 0 ? offset(b * r - 1, c) * element_size(type) : 0),
              0x5a) {}

  int64_t offset(int64_t row, int64_t col) const {
    return (row / rows) * batch_stride + (row % rows) * row_stride + col;
  }
  double get(int64_t row, int64_t col) const {
    const uint8_t* p = bytes.data() + offset(row, col) * element_size(dtype);
    if (dtype == DType::kFloat32) {
      float value;
      std::memcpy(&value, p, 4);
      return value;
    }
    uint16_t half;
    std::memcpy(&half, p, 2);
    return from_bf16(half);
  }
  void set(int64_t row, int64_t col, double value) {
    uint8_t* p = bytes.data() + offset(row, col) * element_size(dtype);
    const float rounded = static_cast<float>(value);
    if (dtype == DType::kFloat32) {
      std::memcpy(p, &rounded, 4);
    } else {
      const uint16_t half = to_bf16(rounded);
      std::memcpy(p, &half, 2);
    }
  }
  template <typename Generator>
  TestTensor& fill(Generator&& next) {
    for (int64_t i = 0; i < batch * rows; ++i)
      for (int64_t j = 0; j < cols; ++j) set(i, j, next());
    return *this;
  }
  std::vector<double> values() const {
    std::vector<double> all;
    for (int64_t i = 0; i < batch * rows; ++i)
      for (int64_t j = 0; j < cols; ++j) all.push_back(get(i, j));
    return all;
  }
  // True if the gaps between rows still hold the canary.
  bool gaps_untouched() const {
    std::vector<bool> owned(bytes.size());
    const int64_t size = element_size(dtype);
    for (int64_t i = 0; i < batch * rows; ++i)
      for (int64_t j = 0; j < cols * size; ++j)
        owned[static_cast<size_t>(offset(i, 0) * size + j)] = true;
    for (size_t i = 0; i < bytes.size(); ++i)
      if (!owned[i] && bytes[i] != 0x5a) return false;
    return true;
  }
  View3 view3() { return {bytes.data(), dtype, batch, rows, cols, batch_stride, row_stride}; }
  View2 view2() { return {bytes.data(), dtype, batch * rows, cols, row_stride}; }  // batch == 1
};

struct Normal {
  explicit Normal(uint64_t seed, double scale = 1, double mean = 0)
      : engine(seed), distribution(mean, scale) {}
  double operator()() { return distribution(engine); }
  std::mt19937_64 engine;
  std::normal_distribution<double> distribution;
};

inline double one_minus_cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < b.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return aa > 0 && bb > 0 ? 1 - ab / std::sqrt(aa * bb) : (aa == bb ? 0 : 1);
}

}  // namespace sightline
