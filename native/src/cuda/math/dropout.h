// Dropout after an activation: an element is kept with probability 1 - p and divided by 1 - p. The
// mask is a function of (seed, stream, row, column) alone (common/philox.h) and the same as the CPU
// backend's; the backward pass draws it again.
#pragma once

#include "common/philox.h"
#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

struct Dropout {
  uint64_t seed = 0;
  uint32_t stream = 0;
  uint32_t threshold = 0;  // 0: none
  float scale = 1.f;       // 1 / (1 - p)
};

// The factor, 0 or scale, of columns column .. column + 7; column is a multiple of 8.
SL_HOST_DEVICE void dropout_factors(const Dropout& dropout, int64_t row, int column,
                                    float (&factor)[8]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Philox4 words = dropout_words(dropout.seed, dropout.stream, static_cast<uint64_t>(row),
                                        static_cast<uint32_t>(column / 4 + half));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      factor[4 * half + i] = words.word[i] >= dropout.threshold ? dropout.scale : 0.f;
    }
  }
}

}  // namespace sightline::cuda
