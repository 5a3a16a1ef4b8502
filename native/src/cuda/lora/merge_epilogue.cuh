// weight = round(weight + scale acc), to nearest or, for bf16, stochastically: adding 16 random
// bits below the kept ones carries with exactly the probability of their fraction. Element (row,
// column) takes word column % 4 of counter (column / 4, row, kRoundingStream), as on the CPU.
#pragma once

#include <cstring>

#include "common/rounded_arithmetic.h"
#include "cuda/gemm/epilogue.cuh"

namespace sightline::cuda {

// The fp32 value of the bf16 that `value` becomes. Infinities and NaNs have no neighbour to round
// to.
SL_HOST_DEVICE float round_stochastic(float value, uint32_t word) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7f800000u) == 0x7f800000u) return value;
  bits = (bits + (word & 0xffffu)) & 0xffff0000u;
  memcpy(&value, &bits, 4);
  return value;
}

// The weight, read and written in place.
struct MergedRows : RowRange {
  bool stochastic = false;
  uint64_t seed = 0;

  SL_DEVICE void store(int row, int column, float (&x)[8]) const {
    if (stochastic) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Philox4 drawn = dropout_words(seed, kRoundingStream, static_cast<uint64_t>(row),
                                            static_cast<uint32_t>(column / 4 + half));
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          x[4 * half + i] = round_stochastic(x[4 * half + i], drawn.word[i]);
        }
      }
    }
    RowRange::store(row, column, x);
  }
};

struct MergeEpilogue : EpilogueBase {
  struct Params {
    UserRows weight;
    float scale;
    bool stochastic;
    uint64_t seed;
  };
  static SL_HOST_DEVICE RowRange input(const Params& p) { return {p.weight}; }
  static SL_HOST_DEVICE MergedRows output(const Params& p) {
    return {{p.weight}, p.stochastic, p.seed};
  }
  static SL_DEVICE void elements(const Params& p, const NoColumns&, const float4&,
                                 const float (&weight)[8], float (&x)[8]) {
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = add_rn(weight[i], multiply_rn(p.scale, x[i]));
  }
};

}  // namespace sightline::cuda
