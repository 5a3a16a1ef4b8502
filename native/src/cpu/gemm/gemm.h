// Matrix products C = sum_t A_t B_t on the CPU, for everything above it (alignment, LoRA, merge).
//
//   A_t [M, K_t], B_t [K_t, N], operands fp32 or bf16, any row stride, either orientation; the sum
//   over t runs in one fp32 accumulator tile, which an epilogue turns into output when complete.
//   compute fp32: products and sums in fp32
//   compute bf16: operands are rounded to bf16 (nearest even) while they are packed, products are
//                 exact, sums fp32
//
// Deterministic: an element of C is summed by one thread, in chains of kGemmKc products that are
// added in order, segment after segment. Tile shapes and thread counts change no bit. Scratch is
// O(tile) per thread: operands are packed block by block, never copied whole; a matrix used many times (a
// frozen weight) is packed once as PackedB.
#pragma once

#include <cstdint>

#include "common/views.h"
#include "cpu/kernels/kernels.h"
#include "cpu/workspace.h"

namespace sightline::cpu {

constexpr int64_t kGemmKc = 256;  // k per cache block, and length of one fp32 summation chain
// Multiplications (about 50 us of one core) below which a thread that sleeps would wake up too late
// to help.
constexpr int64_t kProductsPerThread = int64_t{1} << 21;

// Replaces reading: writes storage row `row`, columns [column, column + n), as fp32 to dst (n
// elements; kRowPad more may be written). For operands that are computed while they are packed: a
// normalised row, a dropped-out row.
using FetchRow = void (*)(const void* user, int64_t row, int64_t column, int64_t n, float* dst);

// A matrix as it lies in memory. `along_k` says what a storage row is:
//   true:  one row of A [M,K], or one column of B [K,N]: B stored as [N,K] (a weight, y = xW^T)
//   false: one k: A stored as [K,M], B stored as [K,N]
struct Operand {
  View3 view;  // batches of rows are flattened: storage row i is view.row(i)
  bool along_k = true;
  FetchRow fetch = nullptr;  // if set, view's data is not read (its sizes count)
  const void* user = nullptr;
};

inline Operand operand(const View3& view, bool along_k) {
  return {view, along_k, nullptr, nullptr};
}
inline Operand operand(const View2& view, bool along_k) {
  return {{view.data, view.dtype, 1, view.rows, view.cols, 0, view.row_stride},
          along_k,
          nullptr,
          nullptr};
}

// B packed whole: k blocks of kGemmKc, in each all panels of nr columns.
struct PackedB {
  const void* data = nullptr;
  int64_t k = 0, n = 0;
  DType compute = DType::kFloat32;
};

int64_t packed_b_bytes(const Kernels&, DType compute, int64_t k, int64_t n);
// `data` holds packed_b_bytes and is aligned to kScratchAlignment. Runs on `threads` threads.
PackedB pack_b(const Kernels&, DType compute, const Operand& b, int64_t k, int64_t n, void* data,
               int threads);

struct KSegment {
  Operand a;
  Operand b;
  int64_t k = 0;
  const PackedB* packed = nullptr;  // in place of b
};

// A finished tile: rows [row, row + rows) and columns [column, column + columns) of C. The epilogue
// may overwrite data, whose rows are padded to kRowPad columns.
struct GemmTile {
  float* data;
  int64_t ld;
  int64_t row, rows;
  int64_t column, columns;
};

// Called once per tile, by the thread that computed it; tiles are disjoint and cover C. store_tile
// is not called where the sums can be formed in its output.
using GemmEpilogue = void (*)(const void* user, const Kernels&, const GemmTile&);

struct Gemm {
  int64_t m = 0, n = 0;
  DType compute = DType::kFloat32;
  const KSegment* segments = nullptr;
  int segment_count = 0;
  GemmEpilogue epilogue = nullptr;
  const void* user = nullptr;
  // In a sequence: how many of its first products are complete before segment `waits_at` is
  // touched, or, if that is segment_count, before the epilogue runs.
  int needs = 0, waits_at = 0;
};

// Scratch that gemm() needs for any `count` problems of this compute type.
int64_t gemm_workspace_bytes(const Kernels&, DType compute, int threads, int count = 1);
// Products of one compute type, in order, by one team of threads: waking a team costs as much as a
// small product. A product may read the results of earlier ones that it says it needs. Nothing
// happens where m or n is 0; with k = 0 in all segments the epilogue gets zeros. Fewer threads than
// asked for (nested parallelism) is fine.
void gemm(const Kernels&, const Gemm* sequence, int count, void* workspace, int threads);
inline void gemm(const Kernels& kernels, const Gemm& problem, void* workspace, int threads) {
  gemm(kernels, &problem, 1, workspace, threads);
}

// The usual epilogue: out (+)= scale * C + bias, rounded once.
struct StoreEpilogue {
  View3 out;
  float scale = 1.f;
  View2 bias;  // [1,N] or null
  bool accumulate = false;
};
void store_tile(const void* store_epilogue, const Kernels&, const GemmTile&);

}  // namespace sightline::cpu
