// 16-bit numbers and the error measure of the tests, written apart from the library's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace numbers {

inline float from_bf16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Nearest, ties to even.
inline uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  const uint32_t low = bits & 0xffff;
  uint32_t high = bits >> 16;
  if (low > 0x8000 || (low == 0x8000 && (high & 1))) ++high;
  return static_cast<uint16_t>(high);
}

inline float round_to_bf16(float value) { return from_bf16(to_bf16(value)); }

inline float from_fp16(uint16_t value) {
  const int exponent = value >> 10 & 31, fraction = value & 1023;
  const double sign = value & 0x8000 ? -1. : 1.;
  if (exponent == 31) return static_cast<float>(fraction != 0 ? NAN : sign * INFINITY);
  const double steps = exponent == 0 ? fraction : fraction + 1024;
  return static_cast<float>(sign * std::ldexp(steps, std::max(exponent, 1) - 25));
}

// Nearest, ties to even.
inline uint16_t to_fp16(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return 0x7e00;
  const double magnitude = std::abs(static_cast<double>(value));
  if (magnitude >= 65520.) return sign | 0x7c00;
  const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<uint16_t>(sign | (steps + ((exponent + 14) << 10)));  // carries as it should
}

// |actual - expected| / |expected| in the Frobenius norm; |actual| where expected is 0.
inline double relative_error(const std::vector<double>& actual,
                             const std::vector<double>& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

}  // namespace numbers
