// AVX-512 and AVX512_BF16: as kernels_avx512.cpp, with bf16 products in pairs by VDPBF16PS, which
// rounds each fp32 sum to nearest even and treats denormals as zero.
#include "cpu/kernels/avx512.inc"

namespace sightline::cpu {
namespace {
struct Traits : Avx512 {
  template <class F, class U>
  static inline __attribute__((always_inline)) F dot_pairs(F sum, U a, U b) {
    return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
  }
  // Denormals become zeros, which is how dot_pairs reads them. VCVTNE2PS2BF16 would be one step
  // less, but the emulator that these paths are tested on (tests/cpu/emulate) gets its upper half
  // wrong.
  template <class U, class F>
  static inline __attribute__((always_inline)) U round_pairs(F first, F second) {
    const __m256i low = (__m256i)_mm512_maskz_cvtneps_pbh(0xffff, (__m512)first);
    const __m256i high = (__m256i)_mm512_maskz_cvtneps_pbh(0xffff, (__m512)second);
    return (U)_mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(low), high, 1);
  }
};
}  // namespace
}  // namespace sightline::cpu

#include "cpu/kernels/templates.inc"

namespace sightline::cpu {
extern const Kernels kAvx512Bf16Kernels;
const Kernels kAvx512Bf16Kernels = {
    Isa::kAvx512Bf16, "avx512bf16", true, gemm_kernels<Fp32>(), gemm_kernels<Bf16Pairs<Traits>>(),
    kRowKernels};
}  // namespace sightline::cpu
