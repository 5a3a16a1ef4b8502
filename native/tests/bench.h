// Timing for the benches: contenders take turns in one process, and a run's figure is their ratio.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdio>
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
// 10 chains hide the latency of 4 or 5 cycles at two FMAs a cycle.
__attribute__((target("avx2,fma"), noinline)) inline void independent_fmas(int64_t steps) {
  typedef float V __attribute__((vector_size(32)));
  V s[10], x = V{} + 0.999f, y = V{} + 1e-3f;
  for (V& v : s) v = y;
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 10
    for (V& v : s) __asm__ volatile("vfmadd213ps %2, %1, %0" : "+x"(v) : "x"(x), "x"(y));
  }
}

// GFLOP/s of a loop of nothing but AVX2 FMAs.
inline double peak_gflops_avx2(int threads) {
  constexpr int64_t kSteps = 500000;
  double best = 1e30;
  for (int i = 0; i < 20; ++i) {  // the best: others may slow most of them down
    const double start = seconds(threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    independent_fmas(kSteps);
    best = std::min(best, seconds(threads) - start);
  }
  return threads * kSteps * 160.0 / best * 1e-9;
}
#endif

}  // namespace bench
