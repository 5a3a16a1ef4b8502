// Kernels for AVX2 and FMA: 6 x 16 tile in 12 of 16 registers.
#include <immintrin.h>

#include "cpu/kernels/kernels.h"

namespace sightline::cpu {
namespace {
struct Traits {
  static constexpr int kWidth = 8, kMr = 6, kNv = 2;
  static constexpr int64_t kMc = 192, kNc = 512;  // of an L2 of 256 KiB and more

  template <class U64, class U>
  static inline __attribute__((always_inline)) U64 multiply_even(U a, U b) {
    return (U64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
  }

  // Of two, the second where one is NaN.
  template <class F>
  static inline __attribute__((always_inline)) F minimum(F a, F b) {
    return (F)_mm256_min_ps((__m256)a, (__m256)b);
  }
  template <class F>
  static inline __attribute__((always_inline)) F maximum(F a, F b) {
    return (F)_mm256_max_ps((__m256)a, (__m256)b);
  }

  template <class F>
  static inline __attribute__((always_inline)) bool has_nan(F x) {
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q)) != 0;
  }
  template <class U, class H>
  static inline __attribute__((always_inline)) U widen(H x) {
    return (U)_mm256_cvtepu16_epi32((__m128i)x);
  }
  // The four bytes at p in all lanes. Of a broadcast it can see through, GCC 12 shifts the scalar.
  template <class U>
  static inline __attribute__((always_inline)) U broadcast(const void* p) {
    return (U)_mm256_broadcast_ss(static_cast<const float*>(p));
  }
  // Of words below 2^16.
  template <class H, class U>
  static inline __attribute__((always_inline)) H narrow(U x) {
    return (H)_mm_packus_epi32(_mm256_castsi256_si128((__m256i)x),
                               _mm256_extracti128_si256((__m256i)x, 1));
  }
  template <class D, class Half>
  static inline __attribute__((always_inline)) D to_double(Half x) {
    return (D)_mm256_cvtps_pd((__m128)x);
  }
};
}  // namespace
}  // namespace sightline::cpu

#include "cpu/kernels/templates.inc"

namespace sightline::cpu {
extern const Kernels kAvx2Kernels;
const Kernels kAvx2Kernels = {
    Isa::kAvx2, "avx2", false, gemm_kernels<Fp32>(), gemm_kernels<Bf16AsFp32>(), kRowKernels};
}  // namespace sightline::cpu
