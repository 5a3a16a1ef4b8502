// Sizes and operands of a product.
#pragma once

#include "cuda/tensor/operand.h"

namespace sightline::cuda {

// One more product A[m,k] B[n,k]^T in the same accumulators: k runs on over it.
struct KSegment {
  Operand a, b;
  int k = 0;
};

constexpr int kMaxExtraSegments = 3;
constexpr int kAlternateBlockRows = 128;

// C[m,n] = A[m,k] B[n,k]^T + sum_i A_i B_i^T over the extra segments, which epilogues with kFusedK
// alone have. Where `alternate_blocks` is given and nonzero for a block of 128 rows of A, those
// rows are read from `a_alternate`.
struct GemmProblem {
  int m = 0, n = 0, k = 0;
  Operand a, b;
  Operand a_alternate;
  const int* alternate_blocks = nullptr;
  int extra_count = 0;
  KSegment extra[kMaxExtraSegments];
  int splits = 1;  // of k, where the epilogue has kSplitK
};

// How many of the four k-steps of a stage of kDepth hold anything: fewer at the end of a segment,
// as that of a low rank is.
template <int kDepth>
struct SegmentSteps {
  int end, k;     // of the segment: the stage after its last, its columns
  int index = 0;  // of the next extra segment

  SL_HOST_DEVICE explicit SegmentSteps(int first_k) : end(ceil_div(first_k, kDepth)), k(first_k) {}
  SL_HOST_DEVICE void next(int segment_k) {
    end += ceil_div(segment_k, kDepth);
    k = segment_k;
    ++index;
  }
  SL_HOST_DEVICE int steps(int stage) const {
    return stage + 1 < end ? 4 : (k - 1) % kDepth / (kDepth / 4) + 1;
  }
};

}  // namespace sightline::cuda
