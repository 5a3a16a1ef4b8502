// Gradients of a trainable projector's eight tensors. Row blocks leave the activations of a chunk
// of tokens; each chunk's products are added to fp32 sums; the end unfolds LayerNorm's affine.
//
//   s_l = column sums of dy_l     G_l = dy_l^T x_l, x_1 = xhat (without a norm, h)
//   dW_l = G_l   db_l = s_l       and where the norm has gamma and beta:
//   dW_1 = G_1 diag(gamma) + s_1 beta^T
//   dgamma_j = sum_p W1_pj G1_pj  dbeta_j = sum_p W1_pj s1_p
//
// x_l, l > 1, are after dropout. Products run in the compute type, sums over tokens in fp32 (chains
// of kGemmKc tokens), in an order that depends on neither threads nor batch layout. xhat is computed
// again from the hidden states. Scratch: kChunkTokens rows of each layer's output twice but the last
// one's, which counts once, fp32, and 4 bytes a weight.
#pragma once

#include "cpu/alignment/row_block.h"

namespace sightline::cpu {

constexpr int64_t kChunkTokens = 1024;

struct WeightGradients {
  ChunkActivations chunk;
  int64_t ld[kMaxLayers];
  float* products[kMaxLayers];  // G_l [out,in] compact
  float* sums[kMaxLayers];      // s_l [out]
  void* gemm_scratch;

  static WeightGradients take(Arena& arena, const Projector& projector, const BlockShape& shape,
                              int64_t tokens, int threads);
  // Adds tokens [chunk.first, chunk.first + count); the first chunk overwrites.
  void add_chunk(const Projector& projector, const AlignmentCall& call, int64_t count, int threads);
  // Writes or accumulates call.grad_weights.
  void finish(const Projector& projector, const AlignmentCall& call, int threads);

 private:
  void unfold(const Projector& projector, const AlignmentCall& call, int threads);
};

}  // namespace sightline::cpu
