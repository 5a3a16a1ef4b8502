// From operands in memory to the panels that the kernels multiply.
#pragma once

#include "cpu/gemm/gemm.h"

namespace sightline {

// Bytes of one panel of `width` lanes over k.
inline int64_t panel_bytes(const GemmKernels& gemm, int width, int64_t k) {
  return (k + gemm.k_group - 1) / gemm.k_group * gemm.k_group * gemm.element_size * width;
}
inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Fetched rows on their way into panels: the lanes of one panel over kGemmKc, or a few steps of k
// of all the lanes that are packed at a time.
constexpr int kMaxPanelWidth = 32;
constexpr int64_t kFetchRows = 16, kMaxFetchLanes = 544;
constexpr int64_t kFetchFloats = (kMaxPanelWidth + kRowPad) * (kGemmKc + kRowPad);
static_assert(kFetchFloats >= kFetchRows * (kMaxFetchLanes + kRowPad));
// What pack functions may write behind the last panel of a block.
constexpr int64_t kPanelSlack = kRowPad * 4;

// Packs lanes [lane, lane + lanes) (rows of A or columns of B) over [k0, k0 + k), k <= kGemmKc,
// into panels of `width` that follow each other. fetch_scratch: kFetchFloats, used if the operand
// fetches, which then has at most kMaxFetchLanes.
void pack_block(const GemmKernels& gemm, const Operand& operand, int width, int64_t lane,
                int64_t lanes, int64_t k0, int64_t k, void* panels, float* fetch_scratch);

}  // namespace sightline
