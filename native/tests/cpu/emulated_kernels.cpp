// The AVX-512 paths' templates (16 lanes, 14 x 32 register tile, bf16 pairs in VNNI layout)
// compiled for the baseline: the wide vectors are lowered and VDPBF16PS is emulated. What this
// leaves untested on a machine without AVX-512 is the compiler's code for those instructions, not
// the logic.
#include "cpu/kernels/kernels.h"

namespace sightline::cpu {
namespace {
struct Traits {
  static constexpr int kWidth = 16, kMr = 14, kNv = 2;
  static constexpr int64_t kMc = 192, kNc = 512;

  template <class F, class U>
  static inline __attribute__((always_inline)) F dot_pairs(F sum, U a, U b) {
    sum += (F)(a << 16) * (F)(b << 16);
    return sum + (F)(a & 0xffff0000u) * (F)(b & 0xffff0000u);
  }
};
}  // namespace
}  // namespace sightline::cpu

#include "cpu/kernels/templates.inc"

namespace sightline::cpu {
extern const Kernels kEmulatedKernels;
const Kernels kEmulatedKernels = {
    Isa::kAvx512Bf16, "emulated", true, gemm_kernels<Fp32>(), gemm_kernels<Bf16Pairs<Traits>>(),
    kRowKernels};
}  // namespace sightline::cpu
