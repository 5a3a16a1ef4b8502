#include "cpu/gemm/pack.h"

#include <algorithm>

namespace sightline::cpu {
namespace {

// The addresses of columns [column, column + columns) of storage rows [row, row + rows). Rows that
// are computed are written to `scratch`, `stride` floats apart.
DType locate_rows(const Operand& operand, int64_t row, int64_t rows, int64_t column,
                  int64_t columns, float* scratch, int64_t stride, const void** out) {
  for (int64_t i = 0; i < rows; ++i) {
    if (operand.fetch) {
      operand.fetch(operand.user, row + i, column, columns, scratch + i * stride);
      out[i] = scratch + i * stride;
    } else {
      out[i] = operand.view.at(row + i, column);
    }
  }
  return operand.fetch ? DType::kFloat32 : operand.view.dtype;
}

// Storage rows lie along k. `pack` makes a panel of `width` of them.
template <typename Pack>
void pack_along_k(const Operand& operand, int width, int64_t row, int64_t rows, int64_t k0,
                  int64_t k, char* panel, int64_t stride, float* fetch_scratch, Pack pack) {
  const void* located[kMaxPanelWidth];
  for (int64_t first = 0; first < rows; first += width, panel += stride) {
    const int count = static_cast<int>(std::min<int64_t>(width, rows - first));
    const DType dtype =
        locate_rows(operand, row + first, count, k0, k, fetch_scratch, kGemmKc + kRowPad, located);
    pack(panel, located, count, k, dtype);
  }
}

// Storage rows are steps of k that all panels share. A few rows at a time, along all their columns:
// read panel by panel, rows a power of two apart would evict each other before their next visit,
// and computed rows come cheaper in long pieces.
void pack_across_k(const GemmKernels& gemm, const Operand& operand, int width, int64_t column,
                   int64_t columns, int64_t k0, int64_t k, char* panels, int64_t stride,
                   float* fetch_scratch) {
  static_assert(kFetchRows % 2 == 0 && kGemmKc % kFetchRows == 0, "pieces are whole k groups");
  const int64_t readable = operand.fetch ? columns : operand.view.cols - column;
  const void* steps[kFetchRows];
  for (int64_t j0 = 0; j0 < k; j0 += kFetchRows) {
    const int64_t rows = std::min(kFetchRows, k - j0);
    const DType dtype = locate_rows(operand, k0 + j0, rows, column, columns, fetch_scratch,
                                    kMaxFetchColumns + kRowPad, steps);
    char* panel = panels + j0 * gemm.element_size * width;
    for (int64_t first = 0; first < columns; first += width, panel += stride) {
      const int count = static_cast<int>(std::min<int64_t>(width, columns - first));
      gemm.pack_steps(panel, width, steps, first, count, readable, rows, dtype);
    }
  }
}

}  // namespace

ALayout pack_a_block(const GemmKernels& gemm, const Operand& a, int64_t row, int64_t rows,
                     int64_t k0, int64_t k, void* panels, float* fetch_scratch) {
  char* out = static_cast<char*>(panels);
  const int64_t stride = a_panel_bytes(gemm, k);
  if (a.along_k) {
    pack_along_k(a, gemm.mr, row, rows, k0, k, out, stride, fetch_scratch, gemm.pack_rows);
    return ALayout::kVectors;
  }
  pack_across_k(gemm, a, gemm.mr, row, rows, k0, k, out, stride, fetch_scratch);
  return ALayout::kColumns;
}

void pack_b_block(const GemmKernels& gemm, const Operand& b, int64_t column, int64_t columns,
                  int64_t k0, int64_t k, void* panels, float* fetch_scratch) {
  char* out = static_cast<char*>(panels);
  const int64_t stride = b_panel_bytes(gemm, k);
  if (b.along_k) {
    pack_along_k(b, gemm.nr, column, columns, k0, k, out, stride, fetch_scratch, gemm.pack_columns);
  } else {
    pack_across_k(gemm, b, gemm.nr, column, columns, k0, k, out, stride, fetch_scratch);
  }
}

int64_t packed_b_bytes(const Kernels& kernels, DType compute, int64_t k, int64_t n) {
  const GemmKernels& gemm = kernels.gemm(compute);
  return checked_product(round_up(n, gemm.nr) / gemm.nr, b_panel_bytes(gemm, k));
}

PackedB pack_b(const Kernels& kernels, DType compute, const Operand& b, int64_t k, int64_t n,
               void* data, int threads) {
  const GemmKernels& gemm = kernels.gemm(compute);
  const int64_t panels = (n + gemm.nr - 1) / gemm.nr, blocks = (k + kGemmKc - 1) / kGemmKc;
  // nr is a whole number of vectors: no panel's packing touches its neighbour.
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t index = 0; index < panels * blocks; ++index) {
    const int64_t block = index / panels, panel = index % panels;
    const int64_t k0 = block * kGemmKc, kb = std::min(kGemmKc, k - k0), n0 = panel * gemm.nr;
    char* out = static_cast<char*>(data) + panels * b_panel_bytes(gemm, k0) +
                panel * b_panel_bytes(gemm, kb);
    float fetched[kFetchFloats];
    pack_b_block(gemm, b, n0, std::min<int64_t>(gemm.nr, n - n0), k0, kb, out, fetched);
  }
  return {data, k, n, compute};
}

}  // namespace sightline::cpu
