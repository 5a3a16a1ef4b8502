// What leaves the LoRA products: y and dx, partials of a split reduction, a merged weight.
#pragma once

#include "cuda/gemm/tile_epilogue.cuh"
#include "cuda/math/dropout.h"
#include "cuda/tensor/user_rows.h"

namespace sightline::cuda {

// out (+)= acc + bias + addend, rounded once; acc is the sum over all segments.
struct LoraEpilogue {
  struct Params {
    UserRows out;
    bool accumulate;
    UserRows bias;        // one row; no data: none
    const float* addend;  // [m, addend_stride], multiples of 8; or null
    int64_t addend_stride;
    Dropout mask;  // of MaskedLoraEpilogue
  };
  static constexpr bool kFusedK = true;
  static constexpr bool kRowConstants = false;
  static constexpr int kRowSums = 0;
  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = false;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int m, int n) {
    const bool reachable =
        !p.accumulate && p.addend == nullptr && tiles_reach(p.out, kDType<Element>, 0, m, n);
    return {reachable, {}, {operand_of(p.out, 0), {}}};
  }

  using Columns = BiasColumns<8>;
  template <int kCount = 8>
  static SL_DEVICE BiasColumns<kCount> columns(const Params& p, int column) {
    BiasColumns<kCount> c{};
    if (p.bias.data != nullptr) p.bias.load(0, column, c.bias);
    return c;
  }

  template <int kCount>
  static SL_DEVICE void elements(const Params&, const BiasColumns<kCount>& c, const float4&,
                                 const float (&)[kCount], float (&x)[kCount], RowSums&) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] += c.bias[i];
  }

  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns& c,
                              const float4& constants, float (&x)[8], RowSums& sums) {
    elements(p, c, constants, x, x, sums);
    if (p.addend != nullptr) {
      float other[8];
      load8(p.addend + row * p.addend_stride + column, other);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] += other[i];
    }
    p.out.put(static_cast<uint32_t>(row), column, x, p.accumulate);
  }
};

// As LoraEpilogue, where the first segment (dS A) passes the dropout mask, scaled by 1 / (1 - p),
// before the others are added.
struct MaskedLoraEpilogue : LoraEpilogue {
  // column is even, so both columns draw from one counter.
  static SL_DEVICE void mask_first_segment(const Params& p, int row, int column, float& x0,
                                           float& x1) {
    const Philox4 drawn = dropout_words(p.mask.seed, p.mask.stream, static_cast<uint64_t>(row),
                                        static_cast<uint32_t>(column / 4));
    const bool upper = (column & 2) != 0;
    const uint32_t word0 = upper ? drawn.word[2] : drawn.word[0];
    const uint32_t word1 = upper ? drawn.word[3] : drawn.word[1];
    x0 = word0 >= p.mask.threshold ? x0 * p.mask.scale : 0.f;
    x1 = word1 >= p.mask.threshold ? x1 * p.mask.scale : 0.f;
  }
};

// One part of a reduction over a long k, as fp32: out [splits][m][stride]. A may be drop(x).
struct PartialEpilogue {
  struct Params {
    float* out;
    int64_t stride, split_stride;
    Dropout dropout;  // of A; kept elements are scaled when the partials are added
  };
  static constexpr bool kSplitK = true;
  static constexpr bool kRowConstants = false;
  static constexpr int kRowSums = 0;

  static SL_DEVICE Params split(const Params& p, int i) {
    Params part = p;
    part.out += i * p.split_stride;
    return part;
  }
  static SL_DEVICE Dropout drop_a(const Params& p) { return p.dropout; }

  using Columns = NoColumns;
  static SL_DEVICE Columns columns(const Params&, int) { return {}; }
  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns&, const float4&,
                              float (&x)[8], RowSums&) {
    store8(p.out + row * p.stride + column, x);
  }
};

}  // namespace sightline::cuda
