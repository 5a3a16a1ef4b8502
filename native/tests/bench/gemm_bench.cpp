// Not a test: GFLOP/s of the GEMM core beside a loop of independent FMAs, the machine's peak.
// One thread is timed by its CPU clock.
// A and B in the compute type, C in fp32.
//   gemm_bench [threads]
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench.h"
#include "cpu/gemm/pack.h"
#include "cpu/isa.h"
#include "matrices.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

template <typename Body>
double best_seconds(int threads, int repeats, Body&& body) {
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    const double start = bench::seconds(threads);
    body();
    best = std::min(best, bench::seconds(threads) - start);
  }
  return best;
}

// The register tile alone: packed operands that stay in cache.
double tile_seconds(const Kernels& table, int64_t m, int64_t n, int64_t k) {
  const GemmKernels& gemm = table.fp32;
  TestTensor a(DType::kFloat32, 1, m, k), b(DType::kFloat32, 1, n, k), c(DType::kFloat32, 1, m, n);
  const auto half = [] { return 0.5; };
  a.fill(half), b.fill(half);
  std::vector<float> a_panels(static_cast<size_t>((m + gemm.mr) * (k + gemm.width)));
  std::vector<float> b_panels(static_cast<size_t>((n + gemm.nr) * k));
  const ALayout layout =
      pack_a_block(gemm, operand(a.view2(), true), 0, m, 0, k, a_panels.data(), nullptr);
  pack_b_block(gemm, operand(b.view2(), true), 0, n, 0, k, b_panels.data(), nullptr);
  constexpr int kTimes = 20;
  return best_seconds(1, 200,
                      [&] {
                        for (int i = 0; i < kTimes; ++i) {
                          gemm.multiply(m, n, k, layout, a_panels.data(), a_panel_bytes(gemm, k),
                                        b_panels.data(), b_panel_bytes(gemm, k),
                                        reinterpret_cast<float*>(c.bytes.data()), n, false, {});
                        }
                      }) /
         kTimes;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : omp_get_max_threads();
  if (!kernels()) return std::printf("%s\n", isa_cause()), 1;
  const Kernels& table = *kernels();
  std::printf("path %s, %d threads\n", table.name, threads);
  const double fp32_peak = bench::peak_gflops(bench::products_of(table.name, false), threads),
               bf16_peak = bench::peak_gflops(bench::products_of(table.name, true), threads);
  std::printf("peak of the path's products: fp32 %.1f, bf16 %.1f GFLOP/s\n", fp32_peak, bf16_peak);
  const auto percent = [](double gflops, double peak) {
    return peak > 0 ? 100 * gflops / peak : 0.;
  };
  for (int64_t k : {192, 32}) {
    const double gflops = 2e-9 * 96 * 128 * k / tile_seconds(table, 96, 128, k);
    std::printf("register tile, K = %lld, one thread %8.1f GFLOP/s  %5.1f %% of the peak\n",
                (long long)k, gflops, percent(threads * gflops, fp32_peak));
  }
  const int64_t shapes[][3] = {{1024, 1024, 1024}, {2048, 2048, 2048}, {512, 2048, 4096},
                               {256, 4096, 4096},  {64, 256, 192},     {1024, 256, 192},
                               {1024, 32, 4096},   {256, 4096, 32}};
  for (const auto& s : shapes) {
    for (DType compute : {DType::kFloat32, DType::kBFloat16}) {
      for (int mode = 0; mode < 3; ++mode) {
        const int64_t m = s[0], n = s[1], k = s[2];
        const bool along_k = mode != 1;
        TestTensor a(compute, 1, m, k), c(DType::kFloat32, 1, m, n);
        TestTensor b(compute, 1, along_k ? n : k, along_k ? k : n);
        uint32_t state = 1;
        const auto next = [&] {
          return (state = state * 1664525u + 1013904223u) / 4294967296.0 - 0.5;
        };
        a.fill(next), b.fill(next);
        void* workspace =
            std::aligned_alloc(64, size_t(gemm_workspace_bytes(table, compute, threads)));
        void* packed_memory =
            std::aligned_alloc(64, size_t(round_up(packed_b_bytes(table, compute, k, n), 64)));
        const PackedB packed =
            pack_b(table, compute, operand(b.view2(), along_k), k, n, packed_memory, threads);
        StoreEpilogue store;
        store.out = c.view3();
        const KSegment segment{operand(a.view2(), true), operand(b.view2(), along_k), k,
                               mode == 2 ? &packed : nullptr};
        const Gemm problem{m, n, compute, &segment, 1, store_tile, &store};
        const double time = best_seconds(threads, m * n * k < 200000000 ? 50 : 4,
                                         [&] { gemm(table, problem, workspace, threads); });
        const double gflops = 2e-9 * m * n * k / time;
        std::printf("%5lld x %5lld x %5lld %s %-12s %8.1f GFLOP/s  %5.1f %% of the peak\n",
                    (long long)m, (long long)n, (long long)k,
                    compute == DType::kFloat32 ? "fp32" : "bf16",
                    mode == 0   ? "B as [N,K]"
                    : mode == 1 ? "B as [K,N]"
                                : "B packed",
                    gflops, percent(gflops, compute == DType::kFloat32 ? fp32_peak : bf16_peak));
        std::free(workspace), std::free(packed_memory);
      }
    }
  }
}
