// The epilogues of the alignment chain's backward products; conventions as in
// epilogues.cuh.
#pragma once

#include "cuda/alignment/epilogues.cuh"

namespace sightline::cuda {

// Through an activation: x = acc silu'(pre) [dropout], written over `pre` in place.
template <class T>
struct SiluBackwardEpilogue : EpilogueBase {
  struct Params {
    RowMajor<T> pre;
    DropoutRows dropout;
  };
  static constexpr Mask kMask = Mask::kOutput;

  static SL_HOST_DEVICE const RowMajor<T>& input(const Params& p) { return p.pre; }
  static SL_HOST_DEVICE const RowMajor<T>& output(const Params& p) { return p.pre; }
  static SL_HOST_DEVICE const DropoutRows& mask(const Params& p) { return p.dropout; }

  template <int kCount>
  static SL_DEVICE void elements(const Params&, const auto&, const float4&,
                                 const float (&pre)[kCount], float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] *= silu_gradient<kFastMath<T>>(pre[i]);
  }
};

template <class T>
struct SiluBackwardSumsParams : SiluBackwardEpilogue<T>::Params {
  const float* bias;
  const float* weight_sum;
  float* partial;  // [tiles_n][2][rows]
  int rows;
};

// As SiluBackwardEpilogue, and the row sums that LayerNorm's backward needs, over the rounded du so
// that k1 is the mean of what the next product computes.
template <class T>
struct SiluBackwardSumsEpilogue : SiluBackwardEpilogue<T> {
  using Params = SiluBackwardSumsParams<T>;
  static constexpr int kRowSums = 2;

  template <int kCount>
  static SL_DEVICE LayerColumns<kCount> columns(const Params& p, int column) {
    return LayerColumns<kCount>::load(p.bias, p.weight_sum, column);
  }
  template <int kCount>
  static SL_DEVICE void add_sums(const LayerColumns<kCount>& c, const float (&pre)[kCount],
                                 const float (&x)[kCount], RowSums& sums) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      layer_norm_backward_sums(rounded<T>(x[i]), pre[i], c.bias[i], c.weight_sum[i], sums.value[0],
                               sums.value[1]);
    }
  }
  static SL_DEVICE void finish_row(const Params& p, int row, int tile_n, const float4& sums) {
    float* at = p.partial + static_cast<int64_t>(tile_n) * 2 * p.rows + row;
    at[0] = sums.x;
    at[p.rows] = sums.y;
  }
};

// dh = scale rstd (acc - k1 - xhat k2), written or added to the caller's gradient.
struct LayerNormBackwardEpilogue : EpilogueBase {
  struct Params {
    UserRows hidden, grad;
    bool accumulate;
    const RowStatistics* statistics;
    const float* partial;  // [partial_tiles][2][rows]
    int partial_tiles, rows;
    float inverse_d;
    const float* scale;  // grad_scale / sum of weights, on the device
    int64_t first_row;
  };
  static constexpr bool kRowConstants = true;

  static SL_HOST_DEVICE RowRange input(const Params& p) { return {p.hidden, p.first_row}; }
  static SL_HOST_DEVICE RowRange output(const Params& p) {
    return {p.grad, p.first_row, p.accumulate};
  }

  static SL_DEVICE float4 row_constants(const Params& p, int row) {
    float k1 = 0.f, k2 = 0.f;
    for (int tile = 0; tile < p.partial_tiles; ++tile) {
      const float* at = p.partial + static_cast<int64_t>(tile) * 2 * p.rows + row;
      k1 += at[0];
      k2 += at[p.rows];
    }
    const RowStatistics s = p.statistics[row];
    return make_float4(s.mean, *p.scale * s.rstd, k1 * p.inverse_d, s.rstd * (k2 * p.inverse_d));
  }
  template <int kCount>
  static SL_DEVICE void elements(const Params&, const NoColumns&, const float4& constants,
                                 const float (&h)[kCount], float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      x[i] = layer_norm_backward(x[i], h[i], constants.x, constants.y, constants.z, constants.w);
    }
  }
};

// out = scale acc (+ out): a weight gradient in the caller's tensor, or fp32 scratch.
struct StoreEpilogue : EpilogueBase {
  struct Params {
    UserRows out;
    bool accumulate;
    const float* scale;  // or null: 1
  };
  static constexpr bool kRowConstants = true;

  static SL_HOST_DEVICE RowRange output(const Params& p) { return {p.out, 0, p.accumulate}; }

  static SL_DEVICE float4 row_constants(const Params& p, int) {
    return make_float4(p.scale != nullptr ? *p.scale : 1.f, 0.f, 0.f, 0.f);
  }
  template <int kCount>
  static SL_DEVICE void elements(const Params&, const NoColumns&, const float4& constants,
                                 const float (&)[kCount], float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] *= constants.x;
  }
};

}  // namespace sightline::cuda
