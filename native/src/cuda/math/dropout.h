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

  // Of columns 4 group .. 4 group + 3.
  SL_HOST_DEVICE Philox4 draw(int64_t row, int group) const {
    return dropout_words(seed, stream, static_cast<uint64_t>(row), static_cast<uint32_t>(group));
  }

  // Columns column and column + 1 of a row; column is even, so both draw from one counter.
  SL_HOST_DEVICE void apply(int64_t row, int column, float& x0, float& x1) const {
    const Philox4 words = draw(row, column / 4);
    const bool upper = (column & 2) != 0;
    const uint32_t word0 = upper ? words.word[2] : words.word[0];
    const uint32_t word1 = upper ? words.word[3] : words.word[1];
    x0 = word0 >= threshold ? x0 * scale : 0.f;
    x1 = word1 >= threshold ? x1 * scale : 0.f;
  }
};

// The mask's rows from first_row on.
struct DropoutRows : Dropout {
  int64_t first_row = 0;

  // Columns column .. column + 7 of a row; column is a multiple of 8.
  SL_HOST_DEVICE void apply(int64_t row, int column, float (&x)[8]) const {
    if (threshold == 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Philox4 words = draw(first_row + row, column / 4 + half);
#pragma unroll
      for (int i = 0; i < 4; ++i) x[4 * half + i] *= words.word[i] >= threshold ? scale : 0.f;
    }
  }
};

}  // namespace sightline::cuda
