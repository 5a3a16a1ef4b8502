// The alignment chain's third product with the cosine inside (epilogue/cosine.h has the formulas).
#pragma once

#include "cuda/alignment/epilogues.cuh"
#include "cuda/math/cosine.h"

namespace sightline::cuda {

// What the cosine of a row leaves behind.
struct CosineOutputs {
  const float* token_weight;  // or null: 1
  uint32_t weight_rows;       // tokens per batch of token_weight and cosine
  int64_t weight_stride;
  float* cosine;  // or null
  int64_t cosine_stride;
  float* weighted;  // [all tokens]: m c, summed into the loss
  int64_t first_row;

  SL_DEVICE float weight(int row) const {
    if (token_weight == nullptr) return 1.f;
    const uint32_t i = static_cast<uint32_t>(first_row + row), batch = i / weight_rows;
    return token_weight[batch * weight_stride + (i - batch * weight_rows)];
  }
  SL_DEVICE void write(int row, float m, float c) const {
    const uint32_t i = static_cast<uint32_t>(first_row + row), batch = i / weight_rows;
    // A token of weight 0 leaves the loss alone, whatever its cosine.
    weighted[i] = m * c;
    if (cosine != nullptr) cosine[batch * cosine_stride + (i - batch * weight_rows)] = c;
  }
};

// Third product, cosine and dz in one kernel: z = acc + bias never leaves the chip. A first pass
// sums z.z, z.t, t.t over the columns; then dz = dz_t t + dz_z z.
// The gradient is that of -m c; 1 / sum(m) and the upstream factor come in at the end of the chain.
template <class T>
struct CosinePass : EpilogueBase {
  struct Params {
    RowMajor<T> dz;  // without data: the loss alone
    const float* bias;
    UserRows teacher;
    CosineOutputs outputs;
  };
  static SL_HOST_DEVICE RowRange input(const Params& p) { return {p.teacher, p.outputs.first_row}; }
  template <int kCount>
  static SL_DEVICE BiasColumns<kCount> columns(const Params& p, int column) {
    return BiasColumns<kCount>::load(p.bias, column);
  }
};

template <class T>
struct CosineSums : CosinePass<T> {
  static constexpr int kRowSums = 3;

  template <int kCount>
  static SL_DEVICE void elements(const auto&, const BiasColumns<kCount>& c, const float4&,
                                 const float (&)[kCount], float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] += c.bias[i];
  }
  template <int kCount>
  static SL_DEVICE void add_sums(const BiasColumns<kCount>&, const float (&t)[kCount],
                                 const float (&z)[kCount], RowSums& sums) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      sums.value[0] = fmaf(z[i], z[i], sums.value[0]);
      sums.value[1] = fmaf(z[i], t[i], sums.value[1]);
      sums.value[2] = fmaf(t[i], t[i], sums.value[2]);
    }
  }
};

template <class T>
struct CosineEpilogue : CosinePass<T> {
  using First = CosineSums<T>;
  using Params = typename CosinePass<T>::Params;
  static constexpr bool kRowConstants = true;

  static SL_HOST_DEVICE const RowMajor<T>& output(const Params& p) { return p.dz; }
  static SL_DEVICE float4 combine(const Params& p, int row, const float4& sums, bool writer) {
    const float m = p.outputs.weight(row);
    const CosineRow c = cosine_row(sums.x, sums.y, sums.z, m);
    if (writer) p.outputs.write(row, m, c.cosine);
    return make_float4(c.dz_t, c.dz_z, 0.f, 0.f);
  }
  template <int kCount>
  static SL_DEVICE void elements(const Params&, const BiasColumns<kCount>& c,
                                 const float4& constants, const float (&t)[kCount],
                                 float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      x[i] = fmaf(constants.x, t[i], constants.y * (x[i] + c.bias[i]));
    }
  }
};

}  // namespace sightline::cuda
