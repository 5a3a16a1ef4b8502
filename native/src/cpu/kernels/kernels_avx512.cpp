// Kernels for AVX-512 F, BW, VL, DQ: 14 x 32 tile in 28 of 32 registers; bf16 operands widened to
// fp32.
#include <immintrin.h>

#include "cpu/kernels/kernels.h"

namespace sightline {
namespace {
struct Traits {
  static constexpr int kWidth = 16, kMr = 14, kNv = 2;

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
extern const Kernels kAvx512Kernels;
const Kernels kAvx512Kernels = {
    Isa::kAvx512, "avx512", false, gemm_kernels<Fp32>(), gemm_kernels<Bf16AsFp32>(), kRowKernels};
}  // namespace sightline
