// From operands in memory to the micro-panels that the kernels multiply.
#pragma once

#include "cpu/gemm/gemm.h"

namespace sightline::cpu {

inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
// Floats of a scratch row: whole vectors, and one line more so that rows a power of two long do not
// share cache sets.
inline int64_t scratch_row(int64_t columns) { return round_up(columns, kRowPad) + kRowPad; }
// Bytes of one panel over k, of A in either layout.
inline int64_t a_panel_bytes(const GemmKernels& gemm, int64_t k) {
  return checked_product(round_up(k, gemm.width * gemm.k_group), gemm.element_size, gemm.mr);
}
inline int64_t b_panel_bytes(const GemmKernels& gemm, int64_t k) {
  return checked_product(round_up(k, gemm.k_group), gemm.element_size, gemm.nr);
}

// Fetched rows on their way into panels: the rows or columns of one panel over kGemmKc, or a few
// steps of k of all that are packed at a time.
constexpr int kMaxPanelWidth = 32;
constexpr int64_t kFetchRows = 16, kMaxFetchColumns = 1056;
constexpr int64_t kFetchFloats = kFetchRows * (kMaxFetchColumns + kRowPad);
static_assert(kFetchFloats >= (kMaxPanelWidth + kRowPad) * (kGemmKc + kRowPad));

// Pack rows of A, or columns of B, from the one given over [k0, k0 + k), k <= kGemmKc, into panels
// that follow each other. fetch_scratch: kFetchFloats, used if the operand fetches, which then has
// at most kMaxFetchColumns of them.
ALayout pack_a_block(const GemmKernels& gemm, const Operand& a, int64_t row, int64_t rows,
                     int64_t k0, int64_t k, void* panels, float* fetch_scratch);
void pack_b_block(const GemmKernels& gemm, const Operand& b, int64_t column, int64_t columns,
                  int64_t k0, int64_t k, void* panels, float* fetch_scratch);

}  // namespace sightline::cpu
