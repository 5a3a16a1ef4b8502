// The epilogues of the alignment chain's forward products. T is the element type of the products;
// rows are local to the chunk being computed, `first_row` is its first row among all tokens.
// Internal matrices are [rows, columns rounded up to 8] with zeros in the padding.
#pragma once

#include "cuda/gemm/epilogue.cuh"
#include "cuda/math/layer_norm.h"
#include "cuda/math/silu.h"

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

  static SL_DEVICE LayerColumns load(const float* bias, const float* weight_sum, int column) {
    LayerColumns c;
    load_floats(bias + column, c.bias);
    load_floats(weight_sum + column, c.weight_sum);
    return c;
  }
};
template <int kCount>
struct BiasColumns {
  float bias[kCount];

  static SL_DEVICE BiasColumns load(const float* bias, int column) {
    BiasColumns c;
    load_floats(bias + column, c.bias);
    return c;
  }
};

// Row i of a product with per-column bias, LayerNorm folded in where `statistics` is given:
//   pre = rstd (acc - mean weight_sum) + bias,   activation = dropout(silu(pre))
// Rows that were normalised before the product (alternate blocks) have mean 0 and rstd 1 here.
template <class T>
struct HiddenEpilogue : EpilogueBase {
  struct Params {
    RowMajor<T> pre, activation;
    const float* bias;
    const float* weight_sum;
    const RowStatistics* statistics;  // or null
    const int* alternate_blocks;      // of 128 rows, or null
    DropoutRows dropout;
  };
  static constexpr Mask kMask = Mask::kOutput;
  static constexpr bool kRowConstants = true;

  static SL_HOST_DEVICE const RowMajor<T>& output(const Params& p) { return p.pre; }
  static SL_HOST_DEVICE const RowMajor<T>& second_output(const Params& p) { return p.activation; }
  static SL_HOST_DEVICE const DropoutRows& mask(const Params& p) { return p.dropout; }

  static SL_DEVICE float4 row_constants(const Params& p, int row) {
    const bool normalised = p.statistics == nullptr ||
                            (p.alternate_blocks != nullptr && p.alternate_blocks[row / 128] != 0);
    if (normalised) return make_float4(0.f, 1.f, 0.f, 0.f);
    const RowStatistics s = p.statistics[row];
    return make_float4(s.mean, s.rstd, 0.f, 0.f);
  }
  template <int kCount>
  static SL_DEVICE LayerColumns<kCount> columns(const Params& p, int column) {
    return LayerColumns<kCount>::load(p.bias, p.weight_sum, column);
  }
  template <int kCount>
  static SL_DEVICE void elements(const Params&, const LayerColumns<kCount>& c,
                                 const float4& constants, const float (&)[kCount],
                                 float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      x[i] = layer_norm_fold(x[i], constants.x, constants.y, c.weight_sum[i], c.bias[i]);
    }
  }
  // The backward pass sees the rounded pre-activation; so does the activation.
  static SL_DEVICE float second(float pre) { return silu<kFastMath<T>>(pre); }
};

// z = acc + bias
template <class T>
struct BiasEpilogue : EpilogueBase {
  struct Params {
    RowMajor<T> out;
    const float* bias;
  };
  static SL_HOST_DEVICE const RowMajor<T>& output(const Params& p) { return p.out; }
  template <int kCount>
  static SL_DEVICE BiasColumns<kCount> columns(const Params& p, int column) {
    return BiasColumns<kCount>::load(p.bias, column);
  }
  template <int kCount>
  static SL_DEVICE void elements(const Params&, const BiasColumns<kCount>& c, const float4&,
                                 const float (&)[kCount], float (&x)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] += c.bias[i];
  }
};

}  // namespace sightline::cuda
