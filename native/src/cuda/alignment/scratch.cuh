// Scratch memory of one call. Tokens go through the chain in chunks of kChunkRows, so that memory
// is bounded whatever their number; a trainable projector's weight gradients need all tokens at
// once.
#pragma once

#include "cuda/alignment/row_statistics.cuh"
#include "cuda/alignment/weight_gradients.cuh"
#include "cuda/alignment/weights.cuh"

namespace sightline::cuda {

// Two full waves of 128 x 256 tiles for P = 2048 on 132 multiprocessors. A multiple of 128.
constexpr int kChunkRows = 4096;

template <class T>
struct AlignmentScratch {
  Scalars* scalars;
  float* weighted;  // [tokens]: m c
  RowStatistics* statistics;
  int* blocks_normalised;
  float* partial;  // [tiles of P][2][rows]: row sums for LayerNorm's backward
  T *u, *a1;       // [rows, p8]: pre-activation, later du; activation
  T *v, *a2;       // [rows, p8]: pre-activation, later dv; activation
  T* z;            // [rows, z8]: z, later dz
  T* xhat;         // [rows, d8]: normalised rows
  // Weight gradients only.
  float* g;         // [p, d8]: du^T xhat
  float* db1;       // [p8]
  float* segments;  // column sums of segments of rows
  float* segments2;

  AlignmentScratch(Layout& layout, const ProjectorSizes& s, int64_t tokens, int rows,
                   bool trainable, bool weight_gradients) {
    scalars = layout.take<Scalars>(1);
    weighted = layout.take<float>(tokens);
    statistics = layout.take<RowStatistics>(rows);
    blocks_normalised = layout.take<int>(ceil_div(rows, kAlternateBlockRows));
    partial = layout.take<float>(int64_t{ceil_div(s.p8, 128)} * 2 * rows);
    const int64_t rp = int64_t{rows} * s.p8;
    u = layout.take<T>(rp);
    a1 = layout.take<T>(rp);
    // Normalised rows are dead before v, a2 and z come to life, unless dW1 needs them.
    const int64_t shared = layout.used();
    xhat = layout.take<T>(int64_t{rows} * s.d8);
    const int64_t after_xhat = layout.used();
    if (!trainable) layout.rewind(shared);
    v = layout.take<T>(rp);
    a2 = layout.take<T>(rp);
    z = layout.take<T>(int64_t{rows} * s.z8);
    if (layout.used() < after_xhat) layout.rewind(after_xhat);
    g = db1 = segments = segments2 = nullptr;
    if (!weight_gradients) return;
    g = layout.take<float>(int64_t{s.p} * s.d8);
    db1 = layout.take<float>(s.p8);
    const int widest = s.p8 > s.z8 ? s.p8 : s.z8;
    const int64_t of_rows = int64_t{ceil_div(rows, kSegmentRows)} * widest;
    const int64_t of_weights = int64_t{ceil_div(s.p, kSegmentRows)} * s.d8;
    segments = layout.take<float>(of_rows > of_weights ? of_rows : of_weights);
    segments2 = layout.take<float>(of_weights);
  }
};

}  // namespace sightline::cuda
