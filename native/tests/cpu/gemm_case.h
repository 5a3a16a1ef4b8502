// Problems for the tests of gemm(), their fp64 reference, and how they are run.
#pragma once

#include <vector>

#include "cpu/gemm/gemm.h"
#include "cpu/isa.h"
#include "matrices.h"
#include "numbers.h"

namespace sightline::cpu {

struct Case {
  int64_t m, n, k;
  bool a_along_k, b_along_k;
  DType a_type, b_type, compute;
};

// As the kernels see an operand: rounded to bf16 if that is the compute type.
inline double seen(double value, DType compute) {
  return compute == DType::kFloat32 ? value : round_to_bf16(static_cast<float>(value));
}

inline std::vector<double> reference(const TestTensor& a, const TestTensor& b, const Case& c) {
  std::vector<double> out(static_cast<size_t>(c.m * c.n));
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < c.k; ++p) {
        sum += seen(c.a_along_k ? a.get(i, p) : a.get(p, i), c.compute) *
               seen(c.b_along_k ? b.get(j, p) : b.get(p, j), c.compute);
      }
      out[static_cast<size_t>(i * c.n + j)] = sum;
    }
  }
  return out;
}

inline TestTensor make(DType type, bool along_k, int64_t lanes, int64_t k, uint64_t seed) {
  TestTensor t(type, 1, along_k ? lanes : k, along_k ? k : lanes, 3);
  return t.fill(Normal(seed));
}

inline void* aligned(std::vector<char>& memory) {
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
}

inline void run_into(TestTensor& out, const Case& c, const std::vector<KSegment>& segments,
                     int threads, StoreEpilogue store, GemmEpilogue epilogue) {
  std::vector<char> memory(
      static_cast<size_t>(gemm_workspace_bytes(*kernels(), c.compute, threads) + 64));
  store.out = out.view3();
  gemm(*kernels(),
       {c.m, c.n, c.compute, segments.data(), static_cast<int>(segments.size()), epilogue, &store},
       aligned(memory), threads);
}

struct Run {
  TestTensor out;
  explicit Run(const Case& c, DType type = DType::kFloat32) : out(type, 1, c.m, c.n, 5) {}

  void go(const Case& c, const std::vector<KSegment>& segments, int threads,
          const StoreEpilogue& store = {}) {
    run_into(out, c, segments, threads, store, store_tile);
  }
};

constexpr DType kF32 = DType::kFloat32, kBf16 = DType::kBFloat16;

// fp32 sums over k <= 1000 in chains of 256 stay well below the library's 1e-5; both compute types
// are compared to exact sums of the operands they see.
constexpr double kTolerance = 3e-6;

}  // namespace sightline::cpu
