// Not a test: time of the LoRA calls beside their floor, the bare product with the base weight
// (forward: y = x W^T, backward: dx = dy W), fp32 and bf16, interleaved. the adapter alone has none:
// its 2 r (K + N) FLOP a row outweigh the memory traffic, so it stands beside as many FMAs in a
// loop.
//   lora_bench [threads [rounds]]
#include <omp.h>

#include <cstdlib>

#include "bench.h"
#include "cpu/backend.h"
#include "cpu/gemm/gemm.h"
#include "cpu/isa.h"
#include "matrices.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

struct Problem {
  int64_t m, k, n, rank;
  DType dtype;
  TestTensor x, w, a, b, y, s, dy, dx, da, db, base;
  std::vector<char> workspace;
  sl_context context{};
  LoraViews linear{};

  Problem(int64_t rows, int64_t columns_in, int64_t columns_out, int64_t r, DType type, int threads)
      : m(rows),
        k(columns_in),
        n(columns_out),
        rank(r),
        dtype(type),
        x(type, 1, m, k),
        w(type, 1, n, k),
        a(DType::kFloat32, 1, rank, k),
        b(DType::kFloat32, 1, n, rank),
        y(type, 1, m, n),
        s(DType::kFloat32, 1, m, rank),
        dy(type, 1, m, n),
        dx(type, 1, m, k),
        da(DType::kFloat32, 1, rank, k),
        db(DType::kFloat32, 1, n, rank),
        base(type, 1, m, std::max(n, k)),
        workspace(static_cast<size_t>(gemm_workspace_bytes(*kernels(), type, threads) + 64)) {
    uint32_t state = 1;
    const auto next = [&] { return (state = state * 1664525u + 1013904223u) / 4294967296.0 - 0.5; };
    for (TestTensor* tensor : {&x, &w, &a, &b, &y, &dy}) tensor->fill(next);
    context.num_threads = threads;
    linear.a = a.view2(), linear.b = b.view2(), linear.scale = 0.5f, linear.dropout_seed = 7;
    linear.y = y.view3(), linear.s = s.view2(), linear.dy = dy.view3();
    linear.da = da.view2(), linear.db = db.view2();
    linear.weight = w.view2();
  }

  LoraCall call(float dropout) {
    LoraCall result{};
    result.x = x.view3(), result.dropout = dropout, result.linears = &linear, result.count = 1;
    result.dx = dx.view3();
    return result;
  }
  void bare(const View3& left, bool along_k, int64_t depth, int64_t columns) {
    const KSegment segment{operand(left, true), operand(w.view2(), along_k), depth, nullptr};
    StoreEpilogue store;
    store.out = base.view3();
    store.out.cols = columns;
    auto* aligned =
        reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
    gemm(*kernels(), {m, columns, dtype, &segment, 1, store_tile, &store}, aligned,
         context.num_threads);
  }
  void print(const char* name, const bench::Comparison& t) const {
    std::printf("M=%5lld %5lld -> %5lld r=%3lld %s  %-17s %9.3f ms   floor %9.3f ms   ratio %.3f\n",
                static_cast<long long>(m), static_cast<long long>(k), static_cast<long long>(n),
                static_cast<long long>(rank), dtype == DType::kFloat32 ? "fp32" : "bf16", name,
                t.ours * 1e3, t.floor * 1e3, t.ratio);
    std::fflush(stdout);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : omp_get_max_threads();
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  if (!kernels()) return std::printf("%s\n", isa_cause()), 1;
  std::printf("path %s, %d threads; medians of %d\n", kernels()->name, threads, rounds);
  const int64_t shapes[][4] = {{512, 192, 192, 32}, {256, 4096, 4096, 32}, {256, 4096, 11008, 32}};
  for (const auto& s : shapes) {
    for (DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      Problem p(s[0], s[1], s[2], s[3], dtype, threads);
      const auto forward_floor = [&] { p.bare(p.x.view3(), true, p.k, p.n); };
      const auto backward_floor = [&] { p.bare(p.dy.view3(), false, p.n, p.k); };
      for (float dropout : {0.f, 0.05f}) {
        const LoraCall call = p.call(dropout);
        p.print(dropout > 0 ? "forward, dropout" : "forward",
                bench::compare(
                    threads, rounds, [&] { cpu::lora_forward(p.context, call); }, forward_floor));
        p.print(dropout > 0 ? "backward, dropout" : "backward",
                bench::compare(
                    threads, rounds, [&] { cpu::lora_backward(p.context, call); }, backward_floor));
      }
      p.linear.weight = {};
      const LoraCall call = p.call(0.f);
      const bench::Products products =
          bench::products_of(kernels()->name, p.dtype == DType::kBFloat16);
      if (products.run != nullptr) {
        const double flops = 2. * p.m * p.rank * (p.k + p.n);
        const int64_t steps = static_cast<int64_t>(flops / products.flops / threads);
        p.print("delta / its FLOP at the peak",
                bench::compare(
                    threads, 3 * rounds, [&] { cpu::lora_forward(p.context, call); },
                    [&] {
#pragma omp parallel num_threads(threads) if (threads > 1)
                      products.run(steps);
                    }));
      }
    }
  }
}
