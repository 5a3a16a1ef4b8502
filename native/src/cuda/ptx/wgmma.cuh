// wgmma m64nNk16 (sm_90a): one warpgroup, A and B in shared memory, fp32 accumulators, d += a b.
// `accumulate` 0 starts from zero. kTrans*: 0 for a K-major operand, 1 for an MN-major one.
// Accumulator layout: gemm/fragments.h. Descriptors: gemm/descriptor.h.
//
// Order: wgmma_fence() before the first product and whenever other code touched d; then issue()s,
// wgmma_commit(), and wgmma_wait<n>() before d is read or an operand overwritten.
#pragma once

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
SL_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// At most kPending of the most recent groups stay in flight.
template <int kPending>
SL_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// A memory clobber does not order register reads: without this the compiler may read accumulators
// above the wait that makes them valid.
template <int kCount>
SL_DEVICE void pin_accumulators(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// The accumulators as text and as operands of an asm statement.
#define SL_TEXT64                                                    \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"           \
  "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31," \
  "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
  "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define SL_TEXT128                                                               \
  SL_TEXT64                                                                      \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"            \
  "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"             \
  "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111," \
  "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define SL_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SL_D16(i) SL_D4(i), SL_D4(i + 4), SL_D4(i + 8), SL_D4(i + 12)
#define SL_D64 SL_D16(0), SL_D16(16), SL_D16(32), SL_D16(48)
#define SL_D128 SL_D64, SL_D16(64), SL_D16(80), SL_D16(96), SL_D16(112)

// a, b, flag, trans_a, trans_b: the operands that follow the accumulators.
#define SL_WGMMA(shape, text, accumulators, a_, b_, flag, trans_a, trans_b)                      \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " flag                                          \
               ", 0;\n"                                                                          \
               "wgmma.mma_async.sync.aligned." shape "k16.f32.bf16.bf16 {" text "}, " a_ ", " b_ \
               ", p, 1, 1, " trans_a ", " trans_b ";\n}\n"                                       \
               : accumulators                                                                    \
               : "l"(a), "l"(b), "r"(accumulate), "n"(kTransA), "n"(kTransB))

template <class T, int kN>
struct Wgmma {
  static_assert(kDType<T> == DType::kBFloat16 && (kN == 128 || kN == 256),
                "the type and the shapes that the kernels use");

  template <int kTransA, int kTransB>
  static SL_DEVICE void issue(float (&d)[kN / 2], uint64_t a, uint64_t b, int accumulate) {
    if constexpr (kN == 256) {
      SL_WGMMA("m64n256", SL_TEXT128, SL_D128, "%128", "%129", "%130", "%131", "%132");
    } else {
      SL_WGMMA("m64n128", SL_TEXT64, SL_D64, "%64", "%65", "%66", "%67", "%68");
    }
  }
};

#undef SL_TEXT64
#undef SL_TEXT128
#undef SL_D4
#undef SL_D16
#undef SL_D64
#undef SL_D128
#undef SL_WGMMA

}  // namespace sightline::ptx
