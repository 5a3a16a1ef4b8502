// Elementwise kernels of the optimizer and of merging, once per instruction set. Memory-bound, so
// they are compiled without contraction of a*b+c into FMA: every path gives the same bits as the
// plain expression, and one path's results can be checked against another's bit for bit.
#pragma once

#include <cstdint>

#include "common/adamw_math.h"
#include "common/views.h"
#include "cpu/kernels/kernels.h"

namespace sightline::cpu {

// `size` consecutive elements of one tensor. Without `master` the parameter itself is updated; with
// it, the master is, and `param` receives its rounding to bf16. With `remainder` the two together
// are the master.
struct AdamwChunk {
  void* param;
  DType param_dtype;
  float* master;
  int16_t* remainder;
  float* exp_avg;
  float* exp_avg_sq;
  void* grad;
  DType grad_dtype;
  int64_t size;
  bool zero_grad;
};

struct GradStatistics {
  double sum_of_squares;  // of the finite and the other elements alike
  int64_t nonfinite;      // NaN and infinities
};

struct ElementwiseKernels {
  void (*adamw)(const AdamwChunk& chunk, const AdamwScalars& scalars);
  // In eight fp64 sums, element i into sum i mod 8, added in order at the end.
  GradStatistics (*grad_statistics)(const void* grad, DType dtype, int64_t size);
  // weight[i] = round(weight[i] + scale * delta[i]) for columns column .. column + n of row `row`,
  // up or down to bf16 with the probability that makes the expectation exact. One Philox word per
  // element: element (row, column) takes word column % 4 of counter (column / 4, row, stream).
  void (*add_stochastic)(uint16_t* weight, const float* delta, float scale, int64_t n,
                         uint64_t seed, uint64_t row, uint64_t column);
};

// The tables, of an object file for one instruction set each.
extern const ElementwiseKernels kElementwiseGeneric, kElementwiseAvx2, kElementwiseAvx512;

const ElementwiseKernels& elementwise_kernels(Isa isa);

}  // namespace sightline::cpu
