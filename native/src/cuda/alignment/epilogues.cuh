// The epilogues of the alignment chain. T is the element type of the products; rows are
// local to the chunk being computed, `first_row` is its first row among all tokens. Internal
// matrices are [rows, columns rounded up to 8] with zeros in the padding.
#pragma once

#include "cuda/gemm/tile_epilogue.cuh"
#include "cuda/math/dropout.h"
#include "cuda/math/layer_norm.h"
#include "cuda/math/silu.h"
#include "cuda/tensor/user_rows.h"

namespace sightline::cuda {

struct RowStatistics {
  float mean, rstd;
};

template <class T>
inline constexpr bool kFastMath = sizeof(T) == 2;

// Columns of a layer's bias and of the row sums of W1'.
template <int kCount>
struct LayerColumns {
  float bias[kCount], weight_sum[kCount];
};

template <int kCount>
SL_DEVICE BiasColumns<kCount> bias_columns(const float* bias, int column) {
  BiasColumns<kCount> c;
  load_floats(bias + column, c.bias);
  return c;
}
template <int kCount>
SL_DEVICE LayerColumns<kCount> layer_columns(const float* bias, const float* weight_sum,
                                             int column) {
  LayerColumns<kCount> c;
  load_floats(bias + column, c.bias);
  load_floats(weight_sum + column, c.weight_sum);
  return c;
}

// Row i of a product with per-column bias, LayerNorm folded in where `statistics` is given:
//   pre = rstd (acc - mean weight_sum) + bias,   activation = dropout(silu(pre))
// Rows that were normalised before the product (blocks marked in `alternate_blocks`) have mean 0
// and rstd 1 here.
template <class T>
struct HiddenEpilogue {
  struct Params {
    T* pre;
    T* activation;
    int64_t stride, activation_stride;
    const float* bias;
    const float* weight_sum;
    const RowStatistics* statistics;  // or null
    const int* alternate_blocks;      // of 128 rows, or null
    Dropout dropout;
    int64_t first_row;
  };
  static constexpr int kTileOutputs = 2;
  static constexpr bool kTileInput = false;
  static constexpr bool kRowConstants = true;
  static constexpr int kRowSums = 0;

  static SL_DEVICE float4 row_constants(const Params& p, int row) {
    const bool normalised = p.statistics == nullptr ||
                            (p.alternate_blocks != nullptr && p.alternate_blocks[row / 128] != 0);
    if (normalised) return make_float4(0.f, 1.f, 0.f, 0.f);
    const RowStatistics s = p.statistics[row];
    return make_float4(s.mean, s.rstd, 0.f, 0.f);
  }

  // A mask is drawn for eight columns at once: by rows.
  template <class Element>
  static EpilogueTiles tiles(const Params& p, int, int) {
    if (p.dropout.threshold != 0) return {};
    return {true, {}, {matrix(p.pre, p.stride), matrix(p.activation, p.activation_stride)}};
  }

  using Columns = LayerColumns<8>;
  template <int kCount = 8>
  static SL_DEVICE LayerColumns<kCount> columns(const Params& p, int column) {
    return layer_columns<kCount>(p.bias, p.weight_sum, column);
  }

  template <int kCount>
  static SL_DEVICE void elements(const Params&, const LayerColumns<kCount>& c,
                                 const float4& constants, const float (&)[kCount],
                                 float (&x)[kCount], RowSums&) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      x[i] = layer_norm_fold(x[i], constants.x, constants.y, c.weight_sum[i], c.bias[i]);
    }
  }
  // The backward pass sees the rounded pre-activation; so does the activation.
  static SL_DEVICE float second(float pre) { return silu<kFastMath<T>>(pre); }

  static SL_DEVICE void apply(const Params& p, int row, int column, const Columns& c,
                              const float4& constants, float (&x)[8], RowSums& sums) {
    elements(p, c, constants, x, x, sums);
    store8(p.pre + row * p.stride + column, x);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = second(rounded<T>(x[i]));
    if (p.dropout.threshold != 0) {
      float factor[8];
      dropout_factors(p.dropout, p.first_row + row, column, factor);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] *= factor[i];
    }
    store8(p.activation + row * p.activation_stride + column, x);
  }
};

// z = acc + bias
template <class T>
struct BiasEpilogue {
  struct Params {
    T* out;
    int64_t stride;
    const float* bias;
  };
  static constexpr bool kRowConstants = false;
  static constexpr int kRowSums = 0;
  static constexpr int kTileOutputs = 1;
  static constexpr bool kTileInput = false;

  template <class Element>
  static EpilogueTiles tiles(const Params& p, int, int) {
    return {true, {}, {matrix(p.out, p.stride), {}}};
  }

  using Columns = BiasColumns<8>;
  template <int kCount = 8>
  static SL_DEVICE BiasColumns<kCount> columns(const Params& p, int column) {
    return bias_columns<kCount>(p.bias, column);
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
    store8(p.out + row * p.stride + column, x);
  }
};

}  // namespace sightline::cuda
