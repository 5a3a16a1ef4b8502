// Scratch memory of one call. Tokens go through the chain in chunks of kChunkRows, so that memory
// is bounded whatever their number; a trainable projector's weight gradients need all tokens at
// once.
//
// What a frozen projector keeps of a chunk of R rows (e bytes an element; D, P, Z rounded up to 8):
//
//   product   1        2        3        4        5        6
//   xhat      read                                                R D e   where rows are normalised
//   a1        written  read                                       R P e
//   a2                 written  read                              R P e
//   z, dz                       written  read                     R Z e
//   v, dv              written           changed  read            R P e
//   u, du     written                             changed  read   R P e
//   dh                                                     written
//
// z lies over a1; xhat over v and a2. Products write what other blocks of the same launch still
// read as operands, so nothing can lie closer.
//
//   bytes = u: R P e + a1, z: R max(P, Z) e + max(xhat: R D e, v: R P e + a2: R P e)
//           + 8 R statistics + 8 R ceil(P / 128) row sums + 4 tokens
//           + 4 ceil(R / 128) alternate blocks + 8, each piece rounded up to 256
//
// Loss alone: v lies over u and there are no row sums. OpenVLA (D = 4096, P = 2048, Z = 1024),
// bf16, R = 4096: 68 MB; u, v and z are 42 MB: z costs P - Z columns more than its own, because a1
// must live beside v while product 2 runs, and silu(u) cannot be taken between TMA and wgmma.
#pragma once

#include "cuda/alignment/row_statistics.cuh"
#include "cuda/alignment/weight_gradients.cuh"
#include "cuda/alignment/weights.cuh"

namespace sightline::cuda {

// Two full waves of 128 x 256 tiles for P = 2048 on 132 multiprocessors. A multiple of 128.
constexpr int kChunkRows = 4096;

// What decides the layout beside the sizes.
struct ScratchNeeds {
  int64_t tokens;
  int rows;  // of a chunk
  bool trainable, gradient, weight_gradients;
};

template <class T>
struct AlignmentScratch {
  Scalars* scalars;
  float* weighted;  // [tokens]: m c
  RowStatistics* statistics;
  int* alternate_blocks;
  float* partial = nullptr;  // [tiles of P][2][rows]: row sums for LayerNorm's backward
  T *u, *a1;                 // [rows, p8]: pre-activation, later du; activation
  T* v;                      // [rows, p8]: pre-activation, later dv
  T* z;                      // [rows, z8]: z, later dz
  T* a2;                     // [rows, p8]: activation
  T* xhat;                   // [rows, d8]: normalised rows
  // Weight gradients only.
  float* g;         // [p, d8]: du^T xhat
  float* db1;       // [p8]
  float* segments;  // column sums of segments of rows
  float* segments2;

  AlignmentScratch(Arena& arena, const ProjectorSizes& s, const ScratchNeeds& needs) {
    const int rows = needs.rows;
    scalars = arena.take<Scalars>(1);
    weighted = arena.take<float>(needs.tokens);
    statistics = arena.take<RowStatistics>(rows);
    alternate_blocks = arena.take<int>(ceil_div(rows, kAlternateBlockRows));
    if (needs.gradient) {
      partial = arena.take<float>(ceil_div(s.p8, 128), 2, rows);
    }
    const int64_t r = rows;
    u = arena.take<T>(r, s.p8);
    if (needs.trainable) {  // all of it is read again at the end
      a1 = arena.take<T>(r, s.p8);
      z = arena.take<T>(r, s.z8);
      xhat = arena.take<T>(r, s.d8);
    } else {
      a1 = z = arena.take<T>(r, s.p8 > s.z8 ? s.p8 : s.z8);
    }
    const int64_t shared = arena.bytes();
    if (!needs.trainable) xhat = arena.take<T>(r, s.d8);
    const int64_t after_xhat = arena.bytes();
    if (!needs.trainable) arena.rewind(shared);
    v = needs.trainable || needs.gradient ? arena.take<T>(r, s.p8) : u;
    a2 = arena.take<T>(r, s.p8);
    if (arena.bytes() < after_xhat) arena.rewind(after_xhat);
    g = db1 = segments = segments2 = nullptr;
    if (!needs.weight_gradients) return;
    g = arena.take<float>(s.p, s.d8);
    db1 = arena.take<float>(s.p8);
    const int widest = s.p8 > s.z8 ? s.p8 : s.z8;
    const int64_t of_rows = checked_product(ceil_div(rows, kSegmentRows), widest);
    const int64_t of_weights = checked_product(ceil_div(s.p, kSegmentRows), s.d8);
    segments = arena.take<float>(of_rows > of_weights ? of_rows : of_weights);
    segments2 = arena.take<float>(of_weights);
  }
};

}  // namespace sightline::cuda
