// One thread's walk over an output tile, block by block: packs rows of A and columns of B into its
// scratch and multiplies them.
#pragma once

#include "cpu/gemm/gemm.h"

namespace sightline::cpu {

// A block of A (mc x kc) stays in L2, a panel of B (kc x nr) in L1, the tile of C passes once per
// kc. The tile holds several blocks of A, so that a block of B, once packed, meets more rows.
constexpr int64_t kTileBlocks = 3;

struct GemmScratch {
  char* a;
  char* b;
  float* c;
  float* fetch;
  const void** rows;
};

// The scratch of thread `thread`; every thread's lies after the one before.
GemmScratch take_scratch(Arena& arena, const GemmKernels& gemm, int thread);

// Whether all of B at so many columns fits scratch.b.
bool fits_scratch(const Gemm& problem, const GemmKernels& gemm, int64_t columns);

// Whether the rows of A are read in place, there being too few columns to pack them for.
bool reads_rows(const GemmKernels& gemm, DType compute, const KSegment& segment, int64_t columns);

// C's tile (+)= A's rows [k0, k0 + k) times the panels b, one block of A after the other. B's are
// there already, unless `pack` says where they are packed with the first block.
void multiply_blocks(const GemmKernels& gemm, DType compute, const KSegment& segment,
                     const GemmScratch& scratch, const GemmTile& tile, int64_t k0, int64_t k,
                     const char* b, char* pack, bool accumulate);

}  // namespace sightline::cpu
