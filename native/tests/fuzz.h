// Seeded random cases: SIGHTLINE_FUZZ_CASES says how many of each test, few if it is not set, and
// SIGHTLINE_FUZZ_SEED the first one's seed. A case that fails names its own.
#pragma once

#include <bit>
#include <cstdlib>

#include "abi/tensor.h"
#include "harness.h"

namespace fuzz {

using abi::Random;

inline int64_t setting(const char* name, int64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoll(value, nullptr, 10) : otherwise;
}

template <typename Check>
void for_each_seed(int64_t by_default, Check&& check) {
  const int64_t first = setting("SIGHTLINE_FUZZ_SEED", 1);
  const int64_t count = setting("SIGHTLINE_FUZZ_CASES", by_default);
  for (int64_t seed = first; seed < first + count; ++seed) {
    const int before = harness::failures();
    check(static_cast<uint64_t>(seed));
    if (harness::failures() != before) {
      std::printf("SIGHTLINE_FUZZ_SEED=%lld\n", static_cast<long long>(seed));
    }
  }
}

// One, primes, and what lies around the widths of vectors, tiles and blocks.
inline int64_t odd_size(Random& r, int64_t most) {
  const int64_t sizes[] = {1,  2,  3,  5,  7,   8,   13,  14,  16,  17,  31,  32,  33,  47, 48,
                           61, 63, 64, 65, 127, 128, 129, 193, 251, 255, 256, 257, 385, 521};
  for (;;) {
    const int64_t size = sizes[r.below(std::size(sizes))];
    if (size <= most) return size;
  }
}

// Writes a few numbers that are special, of those that are not finite if `wild`.
template <typename Tensor>
void spoil(Random& r, Tensor& tensor, bool wild) {
  const double nan = std::bit_cast<double>(0xfff8000000000000ull | (r.bits() & 7ull << 48));
  const double tame[] = {-0., 0., 1e-40, -1e-40, 1e-45};
  const double all[] = {NAN, nan, -nan, INFINITY, -INFINITY};
  for (int64_t i = 1 + r.below(3); i > 0 && tensor.size() > 0; --i) {
    tensor.set(r.below(tensor.size()), wild ? all[r.below(5)] : tame[r.below(5)]);
  }
}

constexpr uint64_t kOneNan = 0x7ff8000000000000ull;  // a result's NaN, widened

// Finite exactly where the reference is, there within `bound` of what the sum's terms add up to
// without their signs, and the one NaN where it is a NaN.
inline void check_values(const std::vector<double>& actual, const std::vector<double>& reference,
                         const std::vector<double>& magnitude, double bound) {
  constexpr double kDenormals = 1e-30;  // vector units may take them for zeros
  for (size_t i = 0; i < reference.size(); ++i) {
    CHECK_EQ(std::isfinite(actual[i]), std::isfinite(reference[i]));
    if (std::isfinite(reference[i])) {
      CHECK_LE(std::abs(actual[i] - reference[i]), bound * magnitude[i] + kDenormals);
    } else if (std::isnan(actual[i])) {
      CHECK_EQ(std::bit_cast<uint64_t>(actual[i]), kOneNan);
    }
  }
}

}  // namespace fuzz
