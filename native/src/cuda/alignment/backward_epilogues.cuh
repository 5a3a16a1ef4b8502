// The epilogues of the alignment chain's backward products; conventions as in
// epilogues.cuh.
#pragma once

#include "cuda/alignment/epilogues.cuh"

namespace sightline::cuda {

// Through an activation: x = acc silu'(pre) [dropout], written over `pre` in place.
template <class T>
struct SiluBackwardEpilogue {
  struct Params {
    T* pre;
    int64_t stride;
    Dropout dropout;
    int64_t first_row;
  };
  static constexpr bool kRowConstants = false;
  static constexpr int kRowSums = 0;
  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = true;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int, int) {
    if (p.dropout.threshold != 0) return {};
    const Operand pre = matrix(p.pre, p.stride);
    return {true, pre, {pre, {}}};
  }

  using Columns = NoColumns;
  template <int kCount = 8>
  static SL_DEVICE Columns columns(const Params&, int) {
    return {};
  }

  template <int kCount>
  static SL_DEVICE void elements(const Params&, const NoColumns&, const float4&,
                                 const float (&pre)[kCount], float (&x)[kCount], RowSums&) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] *= silu_gradient<kFastMath<T>>(pre[i]);
  }

  // x and the pre-activation that it replaces.
  static SL_DEVICE void gradient(const Params& p, int row, int column, float (&x)[8],
                                 float (&pre)[8]) {
    load8(p.pre + row * p.stride + column, pre);
    RowSums none;
    elements(p, NoColumns{}, {}, pre, x, none);
    if (p.dropout.threshold != 0) {
      float factor[8];
      dropout_factors(p.dropout, p.first_row + row, column, factor);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] *= factor[i];
    }
    store8(p.pre + row * p.stride + column, x);
  }

  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns&, const float4&,
                              float (&x)[8], RowSums&) {
    float pre[8];
    gradient(p, row, column, x, pre);
  }
};

// As SiluBackwardEpilogue, and the row sums that LayerNorm's backward needs, over the rounded du so
// that k1 is the mean of what the next product computes.
// partial: [tiles_n][2][rows].
template <class T>
struct SiluBackwardSumsEpilogue {
  struct Params {
    typename SiluBackwardEpilogue<T>::Params silu;
    const float* bias;
    const float* weight_sum;
    float* partial;
    int rows;
  };
  static constexpr bool kRowConstants = false;
  static constexpr int kRowSums = 2;
  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = true;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int m, int n) {
    return SiluBackwardEpilogue<T>::template tiles<Element>(p.silu, m, n);
  }

  using Columns = LayerColumns<8>;
  template <int kCount = 8>
  static SL_DEVICE LayerColumns<kCount> columns(const Params& p, int column) {
    return layer_columns<kCount>(p.bias, p.weight_sum, column);
  }

  template <int kCount>
  static SL_DEVICE void add(const LayerColumns<kCount>& c, const float (&pre)[kCount],
                            const float (&x)[kCount], RowSums& sums) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      layer_norm_backward_sums(rounded<T>(x[i]), pre[i], c.bias[i], c.weight_sum[i], sums.value[0],
                               sums.value[1]);
    }
  }

  template <int kCount>
  static SL_DEVICE void elements(const Params& p, const LayerColumns<kCount>& c,
                                 const float4& constants, const float (&pre)[kCount],
                                 float (&x)[kCount], RowSums& sums) {
    SiluBackwardEpilogue<T>::elements(p.silu, NoColumns{}, constants, pre, x, sums);
    add(c, pre, x, sums);
  }

  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns& c, const float4&,
                              float (&x)[8], RowSums& sums) {
    float pre[8];
    SiluBackwardEpilogue<T>::gradient(p.silu, row, column, x, pre);
    add(c, pre, x, sums);
  }

  static SL_DEVICE void finish_row(const Params& p, int row, int tile_n, const float4& sums) {
    float* at = p.partial + static_cast<int64_t>(tile_n) * 2 * p.rows + row;
    at[0] = sums.x;
    at[p.rows] = sums.y;
  }
};

// dh = scale rstd (acc - k1 - xhat k2), written or added to the caller's gradient.
struct LayerNormBackwardEpilogue {
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
  static constexpr int kRowSums = 0;
  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = true;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int m, int n) {
    const bool reachable = !p.accumulate &&
                           tiles_reach(p.hidden, kDType<Element>, p.first_row, m, n) &&
                           tiles_reach(p.grad, kDType<Element>, p.first_row, m, n);
    return {reachable, operand_of(p.hidden, p.first_row), {operand_of(p.grad, p.first_row), {}}};
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

  using Columns = NoColumns;
  template <int kCount = 8>
  static SL_DEVICE Columns columns(const Params&, int) {
    return {};
  }

  template <int kCount>
  static SL_DEVICE void elements(const Params&, const NoColumns&, const float4& constants,
                                 const float (&h)[kCount], float (&x)[kCount], RowSums&) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      x[i] = layer_norm_backward(x[i], h[i], constants.x, constants.y, constants.z, constants.w);
    }
  }

  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns&,
                              const float4& constants, float (&x)[8], RowSums& sums) {
    const uint32_t token = static_cast<uint32_t>(p.first_row + row);
    float h[8];
    p.hidden.load(token, column, h);
    elements(p, NoColumns{}, constants, h, x, sums);
    p.grad.put(token, column, x, p.accumulate);
  }
};

// out = scale acc (+ out): a weight gradient in the caller's tensor, or fp32 scratch.
struct StoreEpilogue {
  struct Params {
    UserRows out;
    bool accumulate;
    const float* scale;  // or null: 1
  };
  static constexpr bool kRowConstants = true;
  static constexpr int kRowSums = 0;
  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = false;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int m, int n) {
    const bool reachable = !p.accumulate && tiles_reach(p.out, kDType<Element>, 0, m, n);
    return {reachable, {}, {operand_of(p.out, 0), {}}};
  }

  static SL_DEVICE float4 row_constants(const Params& p, int) {
    return make_float4(p.scale != nullptr ? *p.scale : 1.f, 0.f, 0.f, 0.f);
  }

  using Columns = NoColumns;
  template <int kCount = 8>
  static SL_DEVICE Columns columns(const Params&, int) {
    return {};
  }

  template <int kCount>
  static SL_DEVICE void elements(const Params&, const NoColumns&, const float4& constants,
                                 const float (&)[kCount], float (&x)[kCount], RowSums&) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] *= constants.x;
  }

  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns& c,
                              const float4& constants, float (&x)[8], RowSums& sums) {
    elements(p, c, constants, x, x, sums);
    p.out.put(static_cast<uint32_t>(row), column, x, p.accumulate);
  }
};

}  // namespace sightline::cuda
