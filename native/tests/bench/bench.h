// Timing for the benches: contenders take turns in one process, and a run's figure is their ratio.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

namespace bench {

// One thread is timed by its own clock, which stands still while others have the core.
inline double seconds(int threads) {
  timespec now;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Comparison {
  double ours, floor;  // medians, seconds
  double ratio;        // median of the rounds' ratios, ours / floor
};

template <typename Ours, typename Floor>
Comparison compare(int threads, int rounds, Ours&& ours, Floor&& floor) {
  std::vector<double> a, b, ratios;
  for (int i = 0; i <= rounds; ++i) {
    const double start = seconds(threads);
    ours();
    const double middle = seconds(threads);
    floor();
    const double end = seconds(threads);
    if (i == 0) continue;  // warm-up
    a.push_back(middle - start), b.push_back(end - middle);
    ratios.push_back(a.back() / b.back());
  }
  return {median(a), median(b), median(ratios)};
}

#if defined(__x86_64__)
// 24 chains hide the latency of up to 6 cycles at the four products a cycle that no core exceeds.
#define SL_INDEPENDENT(NAME, TARGET, BYTES, CHAINS, REGISTER, INSTRUCTION)    \
  __attribute__((target(TARGET), noinline)) inline void NAME(int64_t steps) { \
    typedef float V __attribute__((vector_size(BYTES)));                      \
    V s[CHAINS], x = V{}, y = V{};                                            \
    for (V & v : s) v = y;                                                    \
    for (int64_t i = 0; i < steps; ++i) {                                     \
      _Pragma("GCC unroll 24") for (V & v : s) __asm__ volatile(              \
          INSTRUCTION : "+" REGISTER(v) : REGISTER(x), REGISTER(y));          \
    }                                                                         \
  }
SL_INDEPENDENT(independent_fmas_avx2, "avx2,fma", 32, 12, "x", "vfmadd231ps %2, %1, %0")
SL_INDEPENDENT(independent_fmas_avx512, "avx512f", 64, 24, "v", "vfmadd231ps %2, %1, %0")
SL_INDEPENDENT(independent_pairs_avx512, "avx512bf16", 64, 24, "v", "vdpbf16ps %2, %1, %0")
#undef SL_INDEPENDENT

#endif

// A loop of nothing but the fastest products that the CPU has for a path of the library.
struct Products {
  void (*run)(int64_t steps) = nullptr;  // null where this does not know them
  double flops = 0;                      // of a step
};

// `bf16`: of operands of that type where there are instructions for them.
inline Products products_of(std::string_view path, bool bf16) {
#if defined(__x86_64__)
  if (path == "avx512bf16" && bf16) return {independent_pairs_avx512, 24 * 64};
  if (path.substr(0, 6) == "avx512") return {independent_fmas_avx512, 24 * 32};
  if (path == "avx2") return {independent_fmas_avx2, 12 * 16};
#endif
  return (void)path, (void)bf16, Products{};
}

// 0 where the products are not known.
inline double peak_gflops(const Products& products, int threads) {
  if (products.run == nullptr) return 0;
  constexpr int64_t kSteps = 200000;
  double best = 1e30;
  for (int i = 0; i < 20; ++i) {  // the best: others may slow most of them down
    const double start = seconds(threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    products.run(kSteps);
    best = std::min(best, seconds(threads) - start);
  }
  return threads * kSteps * products.flops / best * 1e-9;
}

}  // namespace bench
