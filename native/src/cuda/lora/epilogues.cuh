// What leaves the LoRA products: y and dx, parts of a split reduction.
#pragma once

#include "cuda/gemm/epilogue.cuh"

namespace sightline::cuda {

// The caller's rows, which an fp32 addend is added to first; null: none.
struct AddendRows : RowRange {
  const float* addend = nullptr;
  int64_t stride = 0;

  SL_DEVICE void store(int row, int column, float (&x)[8]) const {
    if (addend != nullptr) {
      float other[8];
      load8(addend + row * stride + column, other);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] += other[i];
    }
    RowRange::store(row, column, x);
  }
  template <class T>
  bool tma_reaches(int m, int n) const {
    return addend == nullptr && RowRange::tma_reaches<T>(m, n);
  }
};

// out (+)= acc + bias + addend, rounded once; acc is the sum over all segments.
struct LoraEpilogue : EpilogueBase {
  struct Params {
    UserRows out;
    bool accumulate;
    UserRows bias;        // one row; no data: none
    const float* addend;  // [m, addend_stride], multiples of 8; or null
    int64_t addend_stride;
    Dropout dropout;  // of MaskedLoraEpilogue
  };
  template <int kCount>
  struct Columns {
    float bias[kCount];
  };
  static constexpr bool kFusedK = true;

  static SL_HOST_DEVICE AddendRows output(const Params& p) {
    return {{p.out, 0, p.accumulate}, p.addend, p.addend_stride};
  }
  template <int kCount>
  static SL_DEVICE Columns<kCount> columns(const Params& p, int column) {
    Columns<kCount> c{};
    if (p.bias.data != nullptr) p.bias.load(0, column, c.bias);
    return c;
  }
  template <int kCount>
  static SL_DEVICE void elements(const Params&, const Columns<kCount>& c, const float4&,
                                 const float (&)[kCount], float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] += c.bias[i];
  }
};

// As LoraEpilogue, where the first segment (dS A) passes the dropout mask before the others are
// added.
struct MaskedLoraEpilogue : LoraEpilogue {
  static constexpr Mask kMask = Mask::kFirstSegment;
  static SL_HOST_DEVICE const Dropout& mask(const Params& p) { return p.dropout; }
};

// One part of a reduction over a long k, as fp32: out [splits][m][stride]. A may be drop(x), whose
// kept elements are scaled when the parts are added.
struct PartialEpilogue : EpilogueBase {
  struct Params {
    RowMajor<float> out;
    int64_t split_stride;
    Dropout dropout;
  };
  static constexpr bool kSplitK = true;
  static constexpr Mask kMask = Mask::kOperandA;

  static SL_HOST_DEVICE const RowMajor<float>& output(const Params& p) { return p.out; }
  static SL_HOST_DEVICE const Dropout& mask(const Params& p) { return p.dropout; }
  static SL_DEVICE Params partial(const Params& p, int split) {
    Params part = p;
    part.out.data += split * p.split_stride;
    return part;
  }
  static SL_DEVICE void elements(const Params&, const NoColumns&, const float4&, const float (&)[8],
                                 float (&)[8]) {}
};

}  // namespace sightline::cuda
