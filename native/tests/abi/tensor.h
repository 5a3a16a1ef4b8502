// Tensors with memory for the tests of the C ABI, and small random numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/views.h"
#include "numbers.h"
#include "sightline/sightline.h"

namespace abi {

using sightline::DType;

inline constexpr sl_dtype kFloat32{SL_FLOAT, 32, 1};
inline constexpr sl_dtype kBFloat16{SL_BFLOAT, 16, 1};
inline constexpr sl_dtype kInt16{SL_INT, 16, 1};
inline constexpr DType kBothDTypes[] = {DType::kFloat32, DType::kBFloat16};

using numbers::from_bf16, numbers::relative_error, numbers::round_to_bf16, numbers::to_bf16;

// xorshift*: the same numbers on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  uint64_t bits() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Dull;
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  double normal() {  // sum of uniforms: near enough, and signed
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum - 6.;
  }

 private:
  uint64_t state_;
};

// An owning sl_tensor whose memory ends with its last element. Rows may be padded: `pad` elements
// between them, filled with a pattern that padding_is_intact() looks for.
class Tensor {
 public:
  Tensor(std::vector<int64_t> shape, DType dtype = DType::kFloat32, int64_t pad = 0)
      : shape_(std::move(shape)), dtype_(dtype) {
    const size_t n = shape_.size();
    strides_.resize(n);
    const int64_t cols = n > 0 ? shape_[n - 1] : 1;
    pitch_ = cols + pad;
    int64_t stride = 1;
    for (size_t d = n; d-- > 0;) {
      strides_[d] = stride;
      stride *= d == n - 1 ? pitch_ : shape_[d];
    }
    cols_ = cols;
    rows_ = 1;
    for (size_t d = 0; d + 1 < n; ++d) rows_ *= shape_[d];
    const int64_t elements = size() > 0 ? (rows_ - 1) * pitch_ + cols_ : 0;
    memory_.assign(static_cast<size_t>(elements * item()), 0xA5);
    for (int64_t i = 0; i < size(); ++i) set(i, 0.);
    tensor_.data = memory_.data();
    tensor_.device = {SL_CPU, 0};
    tensor_.ndim = static_cast<int32_t>(n);
    tensor_.dtype = dtype == DType::kFloat32    ? kFloat32
                    : dtype == DType::kBFloat16 ? kBFloat16
                                                : kInt16;
    tensor_.shape = shape_.data();
    tensor_.strides = strides_.data();
    tensor_.byte_offset = 0;
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  sl_tensor* get() { return &tensor_; }
  sl_tensor& raw() { return tensor_; }
  int64_t size() const { return rows_ * cols_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  DType dtype() const { return dtype_; }
  void* data() { return memory_.data() + origin_; }

  double at(int64_t i) const {
    const uint8_t* p = address(i);
    if (dtype_ == DType::kFloat32) {
      float v;
      std::memcpy(&v, p, sizeof v);
      return v;
    }
    uint16_t v;
    std::memcpy(&v, p, sizeof v);
    return dtype_ == DType::kInt16 ? static_cast<int16_t>(v) : from_bf16(v);
  }
  double at(int64_t row, int64_t col) const { return at(row * cols_ + col); }
  void set(int64_t i, double value) {
    uint8_t* p = address(i);
    const float v = static_cast<float>(value);
    if (dtype_ == DType::kFloat32) {
      std::memcpy(p, &v, sizeof v);
    } else {
      const uint16_t b =
          dtype_ == DType::kInt16 ? static_cast<uint16_t>(static_cast<int>(v)) : to_bf16(v);
      std::memcpy(p, &b, sizeof b);
    }
  }
  Tensor& fill(Random& random, double scale = 1.) {
    for (int64_t i = 0; i < size(); ++i) set(i, scale * random.normal());
    return *this;
  }
  // Begins so many elements later, which byte_offset tells.
  Tensor& shift(int64_t elements) {
    origin_ = elements * item();
    memory_.insert(memory_.begin(), static_cast<size_t>(origin_), 0xA5);
    tensor_.data = memory_.data();
    tensor_.byte_offset = static_cast<uint64_t>(origin_);
    return *this;
  }
  // One row for all, read with strides of 0: an input.
  Tensor& broadcast() {
    for (int64_t i = cols_; i < size(); ++i) set(i, at(i % cols_));
    std::fill_n(strides_.begin(), std::max<size_t>(strides_.size(), 1) - 1, 0);
    return *this;
  }
  Tensor& fill_value(double value) {
    for (int64_t i = 0; i < size(); ++i) set(i, value);
    return *this;
  }
  std::vector<double> values() const {
    std::vector<double> result(static_cast<size_t>(size()));
    for (int64_t i = 0; i < size(); ++i) result[static_cast<size_t>(i)] = at(i);
    return result;
  }
  // All memory, padding included, for bitwise comparisons.
  const std::vector<uint8_t>& bytes() const { return memory_; }

  bool padding_is_intact() const {
    const auto holds = [this](int64_t begin, int64_t end) {
      return std::all_of(memory_.begin() + begin, memory_.begin() + end,
                         [](uint8_t byte) { return byte == 0xA5; });
    };
    bool intact = holds(0, origin_);
    for (int64_t r = 0; r + 1 < rows_ && cols_ > 0; ++r) {
      const int64_t row = origin_ + r * pitch_ * item();
      intact &= holds(row + cols_ * item(), row + pitch_ * item());
    }
    return intact;
  }

 private:
  int64_t item() const { return sightline::element_size(dtype_); }
  const uint8_t* address(int64_t i) const {
    return memory_.data() + origin_ + (i / cols_ * pitch_ + i % cols_) * item();
  }
  uint8_t* address(int64_t i) { return const_cast<uint8_t*>(std::as_const(*this).address(i)); }

  std::vector<int64_t> shape_, strides_;
  DType dtype_;
  int64_t rows_, cols_, pitch_, origin_ = 0;  // the last in bytes
  std::vector<uint8_t> memory_;
  sl_tensor tensor_;
};

using TensorPtr = std::unique_ptr<Tensor>;

inline bool message_has(const char* text) {
  return std::string(sl_last_error()).find(text) != std::string::npos;
}

}  // namespace abi
