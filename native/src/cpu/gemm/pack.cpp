#include "cpu/gemm/pack.h"

#include <algorithm>

namespace sightline {
void pack_block(const GemmKernels& gemm, const Operand& operand, int width, int64_t lane,
                int64_t lanes, int64_t k0, int64_t k, void* panels, float* fetch_scratch) {
  const int64_t stride = panel_bytes(gemm, width, k);
  const DType dtype = operand.fetch ? DType::kFloat32 : operand.view.dtype;
  const void* runs[kGemmKc];
  const char* steps[kGemmKc];  // the storage rows of k, which all panels share
  if (!operand.along_k && !operand.fetch) {
    for (int64_t j = 0; j < k; ++j) steps[j] = operand.view.at(k0 + j, lane);
  }
  char* panel = static_cast<char*>(panels);
  for (int64_t first = 0; first < lanes; first += width, panel += stride) {
    const int count = static_cast<int>(std::min<int64_t>(width, lanes - first));
    if (operand.along_k) {
      for (int i = 0; i < count; ++i) {
        if (operand.fetch) {
          float* row = fetch_scratch + i * (kGemmKc + kRowPad);
          operand.fetch(operand.user, lane + first + i, k0, k, row);
          runs[i] = row;
        } else {
          runs[i] = operand.view.at(lane + first + i, k0);
        }
      }
      gemm.pack_lanes(panel, width, runs, count, k, dtype);
    } else {
      int64_t readable = count;
      for (int64_t j = 0; j < k; ++j) {
        if (operand.fetch) {
          float* row = fetch_scratch + j * (width + kRowPad);
          operand.fetch(operand.user, k0 + j, lane + first, count, row);
          runs[j] = row;
        } else {
          runs[j] = steps[j] + first * element_size(dtype);
        }
      }
      if (!operand.fetch) readable = operand.view.cols - lane - first;
      gemm.pack_steps(panel, width, runs, count, readable, k, dtype);
    }
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
