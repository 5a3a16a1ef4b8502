// Gradients of a trainable projector's eight tensors. Row blocks leave the activations of a chunk
// of tokens; each chunk's products are added to fp32 sums; the end unfolds LayerNorm's affine.
//
//   s_k = column sums of dz, dv, du        G3 = dz^T a2   G2 = dv^T a1   G1 = du^T xhat
//   dW3 = G3  db3 = s3   dW2 = G2  db2 = s2   dW1 = G1 diag(gamma) + s1 beta^T   db1 = s1
//   dgamma_j = sum_p W1_pj G1_pj           dbeta_j = sum_p W1_pj s1_p
//
// a1, a2 are after dropout. Products run in the compute type, sums over tokens in fp32 (chains of
// kGemmKc tokens), in an order that depends on neither threads nor batch layout. xhat is computed
// again from the hidden states. Scratch: kChunkTokens rows of 4P + Z fp32, and 4 bytes a weight.
#pragma once

#include "cpu/alignment/row_block.h"

namespace sightline::cpu {

constexpr int64_t kChunkTokens = 1024;

struct WeightGradients {
  ChunkActivations chunk;
  int64_t p_ld, z_ld;
  float *g1, *g2, *g3;  // [P,D] [P,P] [Z,P] compact
  float *s1, *s2, *s3;  // [P] [P] [Z]
  void* gemm_scratch;

  static WeightGradients take(Arena& arena, const Projector& projector, const BlockShape& shape,
                              int64_t tokens, int threads);
  // Adds tokens [chunk.first, chunk.first + count); the first chunk overwrites.
  void add_chunk(const Projector& projector, const AlignmentCall& call, int64_t count, int threads);
  // Writes or accumulates call.grad_weights.
  void finish(const Projector& projector, const AlignmentCall& call, int threads);
};

}  // namespace sightline::cpu
