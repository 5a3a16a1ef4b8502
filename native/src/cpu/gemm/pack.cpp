#include "cpu/gemm/pack.h"

#include <algorithm>

namespace sightline {
namespace {

// Storage rows are lanes: each lane's run of k, transposed into its panel.
void pack_lane_rows(const GemmKernels& gemm, const Operand& operand, int width, int64_t lane,
                    int64_t lanes, int64_t k0, int64_t k, char* panel, float* fetch_scratch) {
  const int64_t stride = panel_bytes(gemm, width, k);
  const void* runs[kMaxPanelWidth];
  for (int64_t first = 0; first < lanes; first += width, panel += stride) {
    const int count = static_cast<int>(std::min<int64_t>(width, lanes - first));
    for (int i = 0; i < count; ++i) {
      if (operand.fetch) {
        float* row = fetch_scratch + i * (kGemmKc + kRowPad);
        operand.fetch(operand.user, lane + first + i, k0, k, row);
        runs[i] = row;
      } else {
        runs[i] = operand.view.at(lane + first + i, k0);
      }
    }
    gemm.pack_lanes(panel, width, runs, count, k,
                    operand.fetch ? DType::kFloat32 : operand.view.dtype);
  }
}

// Storage rows are steps of k that all panels share. A few rows at a time, along all their lanes:
// read panel by panel, rows a power of two apart would evict each other before their next visit,
// and computed rows come cheaper in long runs.
void pack_step_rows(const GemmKernels& gemm, const Operand& operand, int width, int64_t lane,
                    int64_t lanes, int64_t k0, int64_t k, char* panels, float* fetch_scratch) {
  static_assert(kFetchRows % 2 == 0 && kGemmKc % kFetchRows == 0, "pieces are whole k groups");
  const int64_t stride = panel_bytes(gemm, width, k);
  const DType dtype = operand.fetch ? DType::kFloat32 : operand.view.dtype;
  const int64_t readable = operand.fetch ? lanes : operand.view.cols - lane;
  const void* steps[kFetchRows];
  for (int64_t j0 = 0; j0 < k; j0 += kFetchRows) {
    const int64_t rows = std::min(kFetchRows, k - j0);
    for (int64_t j = 0; j < rows; ++j) {
      if (operand.fetch) {
        float* row = fetch_scratch + j * (kMaxFetchLanes + kRowPad);
        operand.fetch(operand.user, k0 + j0 + j, lane, lanes, row);
        steps[j] = row;
      } else {
        steps[j] = operand.view.at(k0 + j0 + j, lane);
      }
    }
    char* panel = panels + panel_bytes(gemm, width, j0);
    for (int64_t first = 0; first < lanes; first += width, panel += stride) {
      const int count = static_cast<int>(std::min<int64_t>(width, lanes - first));
      gemm.pack_steps(panel, width, steps, first, count, readable, rows, dtype);
    }
  }
}

}  // namespace

void pack_block(const GemmKernels& gemm, const Operand& operand, int width, int64_t lane,
                int64_t lanes, int64_t k0, int64_t k, void* panels, float* fetch_scratch) {
  char* out = static_cast<char*>(panels);
  if (operand.along_k) {
    pack_lane_rows(gemm, operand, width, lane, lanes, k0, k, out, fetch_scratch);
  } else {
    pack_step_rows(gemm, operand, width, lane, lanes, k0, k, out, fetch_scratch);
  }
}

int64_t packed_b_bytes(const Kernels& kernels, DType compute, int64_t k, int64_t n) {
  const GemmKernels& gemm = kernels.gemm(compute);
  return round_up(n, gemm.nr) / gemm.nr * panel_bytes(gemm, gemm.nr, k) + kPanelSlack;
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
    char* out = static_cast<char*>(data) + panels * panel_bytes(gemm, gemm.nr, k0) +
                panel * panel_bytes(gemm, gemm.nr, kb);
    float fetched[kFetchFloats];
    pack_block(gemm, b, gemm.nr, n0, std::min<int64_t>(gemm.nr, n - n0), k0, kb, out, fetched);
  }
  return {data, k, n, compute};
}

}  // namespace sightline
