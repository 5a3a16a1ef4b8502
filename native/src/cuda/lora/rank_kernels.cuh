// The small kernels around the LoRA products. Only they touch rank-r tensors element by element:
//   PackKernel      a caller's matrix to a product's operand: converted, padded with zeros
//   ReduceRows      partial sums of S or dS added in order, to the caller's s and to an operand
//   ReduceGradient  partial sums of dA or dB added in order, to the caller's gradient
#pragma once

#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/tensor/rows.h"

namespace sightline::cuda {

// Eight columns of a row a thread.
struct RowGroups {
  int rows, groups;
  static constexpr int kThreads = 256;

  SL_HOST_DEVICE RowGroups(int rows_, int columns) : rows(rows_), groups(ceil_div(columns, 8)) {}
  int64_t blocks() const { return (int64_t{rows} * groups + kThreads - 1) / kThreads; }
};

// Calls body(row, first column) for this thread's eight columns.
template <class Body>
SL_DEVICE void for_own_group(const RowGroups& all, const Body& body) {
  const int64_t i = static_cast<int64_t>(ptx::block_id()) * RowGroups::kThreads + ptx::thread_id();
  if (i >= static_cast<int64_t>(all.rows) * all.groups) return;
  body(static_cast<int>(i / all.groups), static_cast<int>(i % all.groups) * 8);
}

// out[i][j] = in[i][j], zero past in's rows and columns.
template <class T>
struct PackKernel {
  static constexpr int kThreads = RowGroups::kThreads, kMinBlocks = 1, kSharedBytes = 0;

  struct Params {
    UserRows in;
    int in_rows;
    T* out;
    int64_t stride;
    int rows, columns;  // of out, padding included; columns is a multiple of 8
  };
  static int64_t blocks(const Params& p) { return RowGroups(p.rows, p.columns).blocks(); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    for_own_group(RowGroups(p.rows, p.columns), [&](int row, int column) {
      float x[8] = {};
      if (row < p.in_rows && column < p.in.columns) {
        p.in.load(static_cast<uint32_t>(row), column, x);
      }
      store8(p.out + row * p.stride + column, x);
    });
  }
};

// Partials [splits][rows][stride] of eight columns, added in the order of the splits.
SL_DEVICE void add_partials(const float* partial, int splits, int64_t split_stride, int64_t at,
                            float (&sum)[8]) {
  for (int s = 0; s < splits; ++s) {
    float x[8];
    load8(partial + s * split_stride + at, x);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum[i] += x[i];
  }
}

// user[row][j] = factor sum; operand[row][j] = operand_factor factor sum, zero from `rank` on.
template <class T>
struct ReduceRowsKernel {
  static constexpr int kThreads = RowGroups::kThreads, kMinBlocks = 1, kSharedBytes = 0;

  struct Params {
    const float* partial;  // of the linear's first column
    int splits;
    int64_t stride, split_stride;
    int rows, rank, padded_rank;
    float factor, operand_factor;
    UserRows user;  // fp32 [rows, rank]; no data: not kept
    T* operand;
    int64_t operand_stride;
  };
  static int64_t blocks(const Params& p) { return RowGroups(p.rows, p.padded_rank).blocks(); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    for_own_group(RowGroups(p.rows, p.padded_rank), [&](int row, int column) {
      float x[8] = {};
      add_partials(p.partial, p.splits, p.split_stride, row * p.stride + column, x);
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] = column + i < p.rank ? p.factor * x[i] : 0.f;
      if (p.user.data != nullptr && column < p.rank) {
        p.user.store(static_cast<uint32_t>(row), column, x);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] *= p.operand_factor;
      store8(p.operand + row * p.operand_stride + column, x);
    });
  }
};

// out[i][j] (+)= factor sum_s partial[s][i][j], or partial[s][j][i] where `transposed`. Without
// any the sum is 0.
struct ReduceGradientKernel {
  static constexpr int kThreads = RowGroups::kThreads, kMinBlocks = 1, kSharedBytes = 0;

  struct Params {
    const float* partial;
    int splits;
    int64_t stride, split_stride;
    bool transposed;
    float factor;
    UserRows out;
    int rows;
    bool accumulate;
  };
  static int64_t blocks(const Params& p) { return RowGroups(p.rows, p.out.columns).blocks(); }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    for_own_group(RowGroups(p.rows, p.out.columns), [&](int row, int column) {
      float x[8] = {};
      if (p.transposed) {
        for (int s = 0; s < p.splits; ++s) {
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            if (column + i < p.out.columns) {
              x[i] += p.partial[s * p.split_stride + (column + i) * p.stride + row];
            }
          }
        }
      } else {
        add_partials(p.partial, p.splits, p.split_stride, row * p.stride + column, x);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) x[i] *= p.factor;
      p.out.put(static_cast<uint32_t>(row), column, x, p.accumulate);
    });
  }
};

}  // namespace sightline::cuda
