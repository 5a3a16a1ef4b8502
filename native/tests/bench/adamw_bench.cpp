// Not a test: bandwidth of an AdamW step over 878 tensors, counting 28 bytes a parameter (p, g, m,
// v read; p, m, v written), beside a copy loop over as many bytes, interleaved. Zeroing the
// gradients writes 4 bytes more; clipping reads them once more, 36 bytes in all: no step can clip
// before it has seen every gradient, so the copy bounds it at 28/36.
//   adamw_bench [threads [rounds [parameters]]]
#include <omp.h>

#include <cstdlib>
#include <memory>

#include "bench.h"
#include "cpu/backend.h"
#include "cpu/isa.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

// As STREAM: plain loads and stores of what the cores run in parallel.
void copy(float* to, const float* from, int64_t size, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < size; ++i) to[i] = from[i];
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : omp_get_max_threads();
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const int64_t parameters = argc > 3 ? std::atoll(argv[3]) : 32'000'000;
  if (!kernels()) return std::printf("%s\n", isa_cause()), 1;
  constexpr int64_t kTensors = 878;
  const int64_t each = parameters / kTensors / 16 * 16, total = each * kTensors;
  std::vector<float> p(total, 0.5f), g(total, 1e-3f), m(total, 1e-3f), v(total, 1e-3f);
  std::vector<AdamwTensor> tensors(kTensors);
  std::vector<Span> grads(kTensors);
  for (int64_t i = 0; i < kTensors; ++i) {
    const auto span = [&](std::vector<float>& all) {
      return Span{all.data() + i * each, DType::kFloat32, each};
    };
    tensors[i] = {span(p), span(m), span(v), {}, {}, 0};
    grads[i] = span(g);
  }
  void* handle = nullptr;
  cpu::adamw_create(tensors.data(), kTensors, &handle);
  const sl_adamw_group group{1e-4, 0.9, 0.999, 1e-8, 0.01};
  sl_context context{};
  context.num_threads = threads;
  std::printf("%lld parameters in %lld tensors, %d threads; medians of %d\n",
              static_cast<long long>(total), static_cast<long long>(kTensors), threads, rounds);
  struct Setting {
    const char* name;
    double clip;
    bool zero;
  };
  for (const Setting& setting :
       {Setting{"step", 0, false}, {"step, zeroing", 0, true}, {"step, clip, zeroing", 1, true}}) {
    AdamwStep step{};
    step.grads = grads.data(), step.groups = &group, step.grad_scale = 1;
    step.max_grad_norm = setting.clip, step.zero_grads = setting.zero;
    const bench::Comparison t = bench::compare(
        threads, rounds, [&] { cpu::adamw_step(handle, context, step); },
        [&] {  // 28 bytes a parameter: 14 read, 14 written
          copy(m.data(), v.data(), total, threads), copy(g.data(), p.data(), total, threads);
          copy(v.data(), m.data(), total, threads), copy(p.data(), g.data(), total / 2, threads);
        });
    const double bytes = 28e-9 * static_cast<double>(total);
    std::printf("%-20s %9.2f ms %6.2f GB/s   copy %9.2f ms %6.2f GB/s   %5.1f %% of the copy\n",
                setting.name, t.ours * 1e3, bytes / t.ours, t.floor * 1e3, bytes / t.floor,
                100 / t.ratio);
  }
  cpu::adamw_destroy(handle);
}
