// The projector's weights on the device, as the products read them: LayerNorm folded into W1,
// element type T, sizes rounded up to 8 with zeros, both orientations. One allocation.
#pragma once

#include "api/backend.h"
#include "cuda/alignment/prepare_weights.cuh"
#include "cuda/runtime/launch.cuh"
#include "cuda/runtime/memory.h"
#include "cuda/tensor/rows.h"

namespace sightline::cuda {

struct ProjectorSizes {
  int d, p, z;     // as given
  int d8, p8, z8;  // padded

  explicit ProjectorSizes(const ProjectorViews& w)
      : d(static_cast<int>(w.layers[0].weight.cols)),
        p(static_cast<int>(w.layers[0].weight.rows)),
        z(static_cast<int>(w.layers[2].weight.rows)),
        d8(round_up(d, 8)),
        p8(round_up(p, 8)),
        z8(round_up(z, 8)) {}
};

template <class T>
struct ProjectorWeights {
  T *w1, *w2, *w3;         // [p8,d8] (W1'), [p8,p8], [z8,p8]
  T *w1_t, *w2_t, *w3_t;   // [d8,p8], [p8,p8], [p8,z8]
  float *b1, *weight_sum;  // [p8]: b1' and the row sums of W1'
  float *b2, *b3;          // [p8], [z8]
  float* w1_plain;         // trainable only: W1 [p8,d8]
  float *gamma, *beta;     // trainable only: [d8]

  ProjectorWeights(Arena& arena, const ProjectorSizes& s, bool trainable) {
    const int64_t pd = checked_product(s.p8, s.d8), pp = checked_product(s.p8, s.p8),
                  zp = checked_product(s.z8, s.p8);
    w1 = arena.take<T>(pd);
    w2 = arena.take<T>(pp);
    w3 = arena.take<T>(zp);
    w1_t = arena.take<T>(pd);
    w2_t = arena.take<T>(pp);
    w3_t = arena.take<T>(zp);
    b1 = arena.take<float>(s.p8);
    weight_sum = arena.take<float>(s.p8);
    b2 = arena.take<float>(s.p8);
    b3 = arena.take<float>(s.z8);
    w1_plain = trainable ? arena.take<float>(pd) : nullptr;
    gamma = trainable ? arena.take<float>(s.d8) : nullptr;
    beta = trainable ? arena.take<float>(s.d8) : nullptr;
  }

  void read(Stream& stream, const ProjectorViews& views, const ProjectorSizes& s) const {
    const auto& [first, second, third, none] = views.layers;
    typename FoldLayerNormKernel<T>::Params fold{};
    fold.w1 = user_rows(first.weight), fold.b1 = user_rows(first.bias);
    fold.gamma = user_rows(views.norm_weight), fold.beta = user_rows(views.norm_bias);
    fold.rows = s.p, fold.padded_rows = s.p8, fold.padded_columns = s.d8;
    fold.folded = w1, fold.plain = w1_plain;
    fold.weight_sum = weight_sum, fold.folded_bias = b1;
    stream.launch<FoldLayerNormKernel<T>>(fold, FoldLayerNormKernel<T>::blocks(fold));
    convert(stream, second.weight, s.p8, s.p8, w2);
    convert(stream, third.weight, s.z8, s.p8, w3);
    convert(stream, second.bias, 1, s.p8, b2);
    convert(stream, third.bias, 1, s.z8, b3);
    if (gamma != nullptr) {
      convert(stream, views.norm_weight, 1, s.d8, gamma);
      convert(stream, views.norm_bias, 1, s.d8, beta);
    }
    transpose(stream, w1, s.p8, s.d8, w1_t);
    transpose(stream, w2, s.p8, s.p8, w2_t);
    transpose(stream, w3, s.z8, s.p8, w3_t);
  }

 private:
  template <class To>
  static void convert(Stream& stream, const View2& from, int rows, int columns, To* to) {
    const typename ConvertKernel<To>::Params params{user_rows(from), static_cast<int>(from.rows),
                                                    rows, columns, to};
    stream.launch<ConvertKernel<To>>(params, ConvertKernel<To>::blocks(params));
  }
  static void transpose(Stream& stream, const T* from, int rows, int columns, T* to) {
    const typename TransposeKernel<T>::Params params{from, to, rows, columns};
    stream.launch<TransposeKernel<T>>(params, TransposeKernel<T>::blocks(params));
  }
};

}  // namespace sightline::cuda
