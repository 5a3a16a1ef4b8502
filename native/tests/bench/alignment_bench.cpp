// Not a test: time of the alignment call, forward and backward, beside its floor, the same six
// products by gemm() on packed weights, interleaved.
//   alignment_bench [threads [repeats]]
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "alignment_fixture.h"
#include "bench.h"
#include "cpu/gemm/gemm.h"
#include "cpu/isa.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

// The bare products of one call.
struct Floor {
  struct Product {
    int64_t k, n;
    TestTensor a, c;
    std::vector<char> packed;
    PackedB b;
    Product(int64_t m, int64_t k_size, int64_t n_size, DType compute, int threads)
        : k(k_size),
          n(n_size),
          a(kF32, 1, m, k),
          c(kF32, 1, m, n),
          packed(static_cast<size_t>(packed_b_bytes(*kernels(), compute, k, n))) {
      TestTensor weight(kF32, 1, n, k);
      uint32_t state = 1;
      const auto next = [&] {
        return (state = state * 1664525u + 1013904223u) / 4294967296.0 - 0.5;
      };
      weight.fill(next), a.fill(next);
      b = pack_b(*kernels(), compute, operand(weight.view2(), true), k, n, packed.data(), threads);
    }
  };

  std::vector<Product> products;
  std::vector<char> workspace;
  DType compute;
  int threads;

  Floor(const AlignmentProblem::Shape& s, DType type, int thread_number)
      : workspace(static_cast<size_t>(gemm_workspace_bytes(*kernels(), type, thread_number) + 64)),
        compute(type),
        threads(thread_number) {
    products.reserve(6);
    const int64_t sizes[6][2] = {{s.d, s.p}, {s.p, s.p}, {s.p, s.z},
                                 {s.z, s.p}, {s.p, s.p}, {s.p, s.d}};
    for (const auto& size : sizes)
      products.emplace_back(s.b * s.n, size[0], size[1], type, threads);
  }
  void run() {
    void* aligned =
        reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
    for (Product& p : products) {
      StoreEpilogue store;
      store.out = p.c.view3();
      const KSegment segment{operand(p.a.view2(), true), {}, p.k, &p.b};
      gemm(*kernels(), {p.a.rows, p.n, compute, &segment, 1, store_tile, &store}, aligned, threads);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : omp_get_max_threads();
  const int repeats = argc > 2 ? std::atoi(argv[2]) : 5;
  if (!kernels()) return std::printf("%s\n", isa_cause()), 1;
  std::printf("path %s, %d threads; medians of %d\n", kernels()->name, threads, repeats);
  const AlignmentProblem::Shape shapes[] = {{1, 64, 192, 256, 128},
                                            {4, 64, 192, 256, 128},
                                            {16, 64, 192, 256, 128},
                                            {2, 256, 4096, 2048, 1024}};
  for (const auto& shape : shapes) {
    for (DType compute : {kF32, kBf16}) {
      AlignmentProblem problem(shape, {kF32, kF32, kF32, kF32, compute});
      problem.context.num_threads = threads;
      AlignmentProblem::Handle handle(problem);
      Floor floor(shape, compute, threads);
      const bench::Comparison t = bench::compare(
          threads, repeats, [&] { problem.run(handle); }, [&] { floor.run(); });
      const double m = double(shape.b * shape.n), d = double(shape.d), p = double(shape.p),
                   z = double(shape.z);
      const double flop = 4 * m * (d * p + p * p + p * z);
      std::printf(
          "M=%5.0f D=%4.0f P=%4.0f Z=%4.0f %s  call %9.3f ms %6.1f GFLOP/s   six products %9.3f ms "
          "%6.1f GFLOP/s   ratio %.2f\n",
          m, d, p, z, compute == kF32 ? "fp32" : "bf16", t.ours * 1e3, flop / t.ours * 1e-9,
          t.floor * 1e3, flop / t.floor * 1e-9, t.ratio);
    }
  }
}
