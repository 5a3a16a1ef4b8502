// Products of a block of rows, packed as the left operand, with a matrix that is packed whole: all
// on one thread.
#pragma once

#include <algorithm>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {

// k blocks, in each all panels.
inline int64_t packed_rows_block_bytes(const GemmKernels& gemm, int64_t rows, int64_t k) {
  return checked_product(rows / gemm.mr, a_panel_bytes(gemm, k));
}
inline int64_t packed_rows_bytes(const GemmKernels& gemm, int64_t rows, int64_t k) {
  const int64_t full = k / kGemmKc;
  return checked_sum(checked_product(full, packed_rows_block_bytes(gemm, rows, kGemmKc)),
                     packed_rows_block_bytes(gemm, rows, k % kGemmKc));
}

class BlockProduct {
 public:
  // packed: packed_rows_bytes of `most` rows, whole register tiles, of which `count` are there.
  BlockProduct(const GemmKernels& gemm, char* packed, int64_t most, int64_t count)
      : gemm_(gemm), packed_(packed), most_(most), count_(count) {}

  // Packs rows of k elements; row_of(i, slot) computes row i, somewhere; slot < mr is its place in
  // a register tile, whose rows are all computed before they are packed.
  template <typename RowOf>
  void pack(int64_t k, RowOf&& row_of) const {
    const void* pieces[kMaxPanelWidth];
    const float* sources[kMaxPanelWidth];
    for (int64_t first = 0; first < count_; first += gemm_.mr) {
      const int rows = static_cast<int>(std::min<int64_t>(gemm_.mr, count_ - first));
      for (int i = 0; i < rows; ++i) sources[i] = row_of(first + i, i);
      char* block = packed_;
      for (int64_t k0 = 0; k0 < k; k0 += kGemmKc) {
        const int64_t length = std::min(kGemmKc, k - k0);
        for (int i = 0; i < rows; ++i) pieces[i] = sources[i] + k0;
        gemm_.pack_rows(block + first / gemm_.mr * a_panel_bytes(gemm_, length), pieces, rows,
                        length, DType::kFloat32);
        block += packed_rows_block_bytes(gemm_, most_, length);
      }
    }
  }

  // out (+)= packed rows times b[k0 .. k0 + k, column .. column + n): k0 a multiple of kGemmKc,
  // column of a panel's width.
  void multiply(const PackedB& b, float* out, int64_t ld, bool accumulate, int64_t k0, int64_t k,
                int64_t column, int64_t n) const {
    const char* left = packed_;
    const int64_t panels = (b.n + gemm_.nr - 1) / gemm_.nr;
    for (int64_t at = k0; at < k0 + k; at += kGemmKc) {
      const int64_t length = std::min(kGemmKc, k0 + k - at);
      const int64_t stride = b_panel_bytes(gemm_, length);
      const char* right = static_cast<const char*>(b.data) +
                          at / kGemmKc * panels * b_panel_bytes(gemm_, kGemmKc) +
                          column / gemm_.nr * stride;
      gemm_.multiply(count_, n, length, ALayout::kVectors, left, a_panel_bytes(gemm_, length),
                     right, stride, out, ld, accumulate || at > k0, {});
      left += packed_rows_block_bytes(gemm_, most_, length);
    }
  }
  void multiply(const PackedB& b, float* out, int64_t ld) const {
    multiply(b, out, ld, false, 0, b.k, 0, b.n);
  }

 private:
  const GemmKernels& gemm_;
  char* packed_;
  int64_t most_, count_;
};

}  // namespace sightline::cpu
