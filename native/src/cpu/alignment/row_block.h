// One block of tokens through the whole chain, forward and backward, on one thread (arithmetic:
// native/README.md). Weights stream past packed; the block's activations stay in its
// scratch and only losses and the hidden states' gradient leave. A token's results do not depend
// on the block it is in.
#pragma once

#include "api/backend.h"
#include "cpu/alignment/contrast.h"
#include "cpu/alignment/projector.h"

namespace sightline::cpu {

// What the weight gradients need of a chunk of tokens, one row each, fp32: written by the blocks.
struct ChunkActivations {
  int64_t first = 0;                  // token of row 0
  float* activated[kMaxLayers] = {};  // [rows, ld of the layer] after activation and dropout
  float* gradient[kMaxLayers] = {};   // [rows, ld of the layer] of the layer's output
  float *mean_high = nullptr, *mean_low = nullptr, *rstd = nullptr;
};

// One call's arguments as blocks see them.
struct AlignmentRun {
  const Projector* projector;
  const AlignmentCall* call;
  bool backward;  // any gradient wanted
  bool dropout;
  double gradient_scale;          // grad_scale / sum of token weights
  double* token_loss;             // [M] m v of each token
  const ChunkActivations* chunk;  // null unless weight gradients are wanted
  const TeacherRows* teacher;
  const ContrastTargets* contrast;  // of InfoNCE, else null
};

// How tokens fall into blocks, and the sizes of a block's buffers, in elements.
struct BlockShape {
  int64_t panels, blocks;  // whole register tiles, dealt out evenly
  int64_t mr;              // tokens of a register tile
  int64_t rows;            // tokens of the largest block
  int64_t ld[kMaxLayers];  // of rows as wide as the layer's output
  int64_t row_ld;          // of the widest row

  // For calls of up to `tokens` tokens.
  BlockShape(const Projector& projector, int64_t tokens, int threads);
  // The first token of a block, or the end of the last.
  int64_t begin(int64_t block) const { return block * panels / blocks * mr; }
};

struct BlockScratch {
  char* packed;  // the left operand of the current product
  // [rows, ld of the layer] of all layers but the last: pre-activations without their biases, then
  // the activation's derivative at them
  float* slope[kMaxLayers];
  float* out;            // [rows, row_ld] z, then the accumulators of the backward products
  float *rows, *target;  // [register tile, row_ld] rows on their way into `packed`; one teacher row
  float *mean_high, *mean_low, *rstd;  // [rows]

  ContrastScratch contrast;  // of InfoNCE

  static BlockScratch take(Arena& arena, const Projector& projector, const BlockShape& shape,
                           const LossOptions& loss);
};

// Tokens [first, first + count), count <= shape.rows.
void run_block(const AlignmentRun& run, const BlockShape& shape, const BlockScratch& scratch,
               int64_t first, int64_t count);

}  // namespace sightline::cpu
