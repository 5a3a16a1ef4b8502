// LayerNorm as algebra on a matrix product. mean and rstd = 1 / sqrt(var + eps) of a row of h;
// W1' = W1 diag(gamma), b1' = b1 + W1 beta, weight_sum = row sums of W1' as rounded for the
// product.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

// u = rstd (h W1'^T - mean weight_sum) + b1', where product = h W1'^T for this row and column.
// With mean 0 and rstd 1 (a row normalised beforehand) it is product + b1'.
SL_HOST_DEVICE float layer_norm_fold(float product, float mean, float rstd, float weight_sum,
                                     float bias) {
  return fmaf(rstd, fmaf(-mean, weight_sum, product), bias);
}

// Row sums over the P columns of du, taken one GEMM before they are needed:
//   k1 = du . weight_sum / D = mean of g,   k2 = du . (u - b1') / D = mean of g xhat,   g = du W1'
SL_HOST_DEVICE void layer_norm_backward_sums(float du, float u, float bias, float weight_sum,
                                             float& k1, float& k2) {
  k1 = fmaf(du, weight_sum, k1);
  k2 = fmaf(du, u - bias, k2);
}

// dh = scale rstd (g - k1 - xhat k2),   xhat = rstd (h - mean)
// with the row's constants factor = scale rstd and slope = rstd k2.
SL_HOST_DEVICE float layer_norm_backward(float g, float h, float mean, float factor, float k1,
                                         float slope) {
  return factor * (g - fmaf(h - mean, slope, k1));
}

}  // namespace sightline::cuda
