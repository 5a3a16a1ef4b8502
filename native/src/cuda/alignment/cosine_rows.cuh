// Cosine of projected and teacher rows where the third product could not finish it
// (epilogue/cosine.h has the formulas), and the loss. One warp per row; dz is written over z.
//   loss = -sum_i m_i c_i / sum_i m_i, summed in the order of threads, then warps
#pragma once

#include "cuda/alignment/block_sum.cuh"
#include "cuda/alignment/row_statistics.cuh"

namespace sightline::cuda {

template <class T>
struct CosineRowsKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = 0;
  static constexpr int kRows = kThreads / 32;

  struct Params {
    T* z;
    int64_t stride;
    int rows, padded_columns;
    bool gradient;
    UserRows teacher;
    CosineOutputs outputs;
  };

  static int blocks(const Params& p) { return ceil_div(p.rows, kRows); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int lane = ptx::thread_id() % 32;
    const int row = ptx::block_id() * kRows + ptx::thread_id() / 32;
    if (row >= p.rows) return;
    const auto token = static_cast<uint32_t>(p.outputs.first_row + row);
    T* z_row = p.z + row * p.stride;
    float zz = 0.f, zt = 0.f, tt = 0.f;
    for (int column = 8 * lane; column < p.padded_columns; column += 256) {
      float z[8], t[8];
      load8(z_row + column, z);
      p.teacher.load(token, column, t);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        zz = fmaf(z[i], z[i], zz);
        zt = fmaf(z[i], t[i], zt);
        tt = fmaf(t[i], t[i], tt);
      }
    }
    const float m = p.outputs.weight(row);
    const CosineRow c = cosine_row(warp_sum(zz), warp_sum(zt), warp_sum(tt), m);
    if (lane == 0) p.outputs.write(row, m, c.cosine);
    if (!p.gradient) return;
    for (int column = 8 * lane; column < p.padded_columns; column += 256) {
      float z[8], t[8];
      load8(z_row + column, z);
      p.teacher.load(token, column, t);
#pragma unroll
      for (int i = 0; i < 8; ++i) z[i] = fmaf(c.dz_t, t[i], c.dz_z * z[i]);
      store8(z_row + column, z);
    }
  }
};

struct LossKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1;
  static constexpr int kSharedBytes = kThreads / 32 * 4;

  struct Params {
    const float* weighted;  // [tokens]: m c
    int64_t tokens;
    const Scalars* scalars;
    float* loss;
  };

  static int blocks(const Params&) { return 1; }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    float sum = 0.f;
    for (int64_t i = ptx::thread_id(); i < p.tokens; i += kThreads) sum += p.weighted[i];
    sum = block_sum<kThreads>(sum, reinterpret_cast<float*>(ptx::shared_memory()));
    if (ptx::thread_id() == 0) {
      const float inverse = p.scalars->inverse_weight;
      *p.loss = inverse == 0.f ? 0.f : -sum * inverse;
    }
  }
};

}  // namespace sightline::cuda
