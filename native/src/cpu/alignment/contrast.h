// InfoNCE of a block of tokens, in the manner of flash attention: what a token is compared with goes
// by in pieces of kPiece tokens, and of M x M scores only rows x kPiece exist at a time. s_ij =
// z^_i.t^_j / temperature over i itself and its negatives j, K_i = {i} and these:
//
//   v_i = log sum_{j in K_i} exp(s_ij) - s_ii
//   dz^_i = (sum_{j in K_i} p_ij t^_j - t^_i) / temperature,   p_ij = exp(s_ij) / sum_j exp(s_ij)
//
// One sweep makes both: the largest score so far, the sum of exponentials beside it, and the sum of
// their t^_j, which are scaled when a larger score comes. The teacher gets no gradient, so that
// tokens need nothing of each other's z. Pieces have the same order for every block. s_ii is cos(z,
// t) in fp64, rounded once. Memory: t^ packed in two orientations, 2 M Z elements of the compute
// type, and 8 M bytes.
#pragma once

#include "cpu/alignment/block_product.h"
#include "cpu/alignment/row_loss.h"
#include "cpu/alignment/teacher.h"

namespace sightline::cpu {

// The teacher's unit rows, packed once a call.
class ContrastTargets {
 public:
  // A multiple of kGemmKc and of all panels' widths: 3 * 256 = 48 * 16 = 24 * 32 = 64 * 12.
  static constexpr int64_t kPiece = 768;

  static ContrastTargets take(Arena& arena, const Kernels& kernels, DType compute,
                              const AlignmentCall& call);
  void prepare(const Kernels& kernels, DType compute, const TeacherRows& teacher, int threads);

  PackedB scores;             // [Z,M]
  PackedB features;           // [M,Z], rows that are not finite as zeros: scores show them
  float* inverse_size;        // [M] of 1 / max(|t|, eps)
  float* dropped;             // [M] 1 for tokens of weight 0, else 0; null: no weights
  const AlignmentCall* call;  // for images and weights

 private:
  char *scores_memory_, *features_memory_;
};

// Of one block.
struct ContrastScratch {
  char* packed;                // rows of kPiece probabilities, or of t^
  float *scores, *similarity;  // [rows, kPiece] cosines, and those of the teacher's rows
  float* unit;                 // [register tile, ld] t^ on its way into packed
  float* sums;                 // [rows, ld]
  double *largest, *total;     // [rows]
  RowCosine* cosines;          // [rows]

  static ContrastScratch take(Arena& arena, const GemmKernels& gemm, int64_t rows, int64_t ld,
                              const LossOptions& loss, int64_t features);
};

class ContrastBlock {
 public:
  ContrastBlock(const Kernels& kernels, DType compute, const ContrastTargets& targets,
                const TeacherRows& teacher, const ContrastScratch& scratch, int64_t most,
                int64_t first, int64_t count, int64_t ld);

  // z: rows of z^, `ld` apart; their cosines are in the scratch. `product` has room for them.
  void compare(const BlockProduct& product, const float* z, bool gradient);
  // v_i; z^ becomes *scale times the gradient of z where scale is not null. `t` is scratch.
  double finish(int64_t i, float* z, float* t, const double* scale) const;

 private:
  bool any_allowed(int64_t column, int64_t n) const;
  void exclude(int64_t i, int64_t column, int64_t n, float* scores) const;

  const RowKernels& row_;
  const ContrastTargets& targets_;
  const TeacherRows& teacher_;
  const ContrastScratch& s_;
  const LossOptions& loss_;
  const BlockProduct product_;  // of probabilities, or of t^
  const int64_t first_, count_, ld_, image_, features_;
};

}  // namespace sightline::cpu
