// AVX-512 and AVX512_BF16: as kernels_avx512.cpp, with bf16 products in pairs by VDPBF16PS, which
// rounds each fp32 sum to nearest even and treats denormals as zero.
#include <immintrin.h>

#include "cpu/kernels/kernels.h"

namespace sightline {
namespace {
struct Traits {
  static constexpr int kWidth = 16, kMr = 14, kNv = 2;

  template <class F, class U>
  static inline __attribute__((always_inline)) F dot_pairs(F sum, U a, U b) {
    return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
  }

  template <class U64, class U>
  static inline __attribute__((always_inline)) U64 multiply_even(U a, U b) {
    // All lanes: the unmasked intrinsic of GCC 12 warns of its own undefined source operand.
    return (U64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
  }
};
}  // namespace
}  // namespace sightline

#include "cpu/kernels/templates.inc"

namespace sightline {
extern const Kernels kAvx512Bf16Kernels;
const Kernels kAvx512Bf16Kernels = {
    Isa::kAvx512Bf16, "avx512bf16", true, gemm_kernels<Fp32>(), gemm_kernels<Bf16Pairs<Traits>>(),
    kRowKernels};
}  // namespace sightline
