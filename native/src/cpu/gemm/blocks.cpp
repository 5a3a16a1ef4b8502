#include "cpu/gemm/blocks.h"

#include <algorithm>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {
namespace {

constexpr int64_t kThin = 64;       // columns up to which rows of A are read in place
constexpr int64_t kThinPanels = 2;  // of A at a time, where one panel of B multiplies it

int64_t b_capacity(const GemmKernels& gemm) {
  return round_up(gemm.nc, gemm.nr) / gemm.nr * b_panel_bytes(gemm, kGemmKc);
}

// What is read of an operand's rows when they are packed next, if they are read as they lie.
Prefetch source_of(const Operand& operand, int64_t row, int64_t rows, int64_t k0, int64_t k_end,
                   MemoryRun* runs) {
  if (operand.fetch || k0 >= k_end) return {};
  const int64_t bytes = std::min(kGemmKc, k_end - k0) * element_size(operand.view.dtype);
  for (int64_t i = 0; i < rows; ++i) runs[i] = {operand.view.at(row + i, k0), bytes};
  return {runs, static_cast<int>(rows)};
}

// A block of A times B, whose columns lie along k: a panel is packed and used at once, while the
// next one's columns are on their way from memory.
void multiply_and_pack(const GemmKernels& gemm, const KSegment& segment, const GemmScratch& scratch,
                       const GemmTile& tile, int64_t rows, ALayout layout, int64_t k0, int64_t k,
                       char* b, bool accumulate) {
  const int64_t b_stride = b_panel_bytes(gemm, k);
  MemoryRun next[kMaxPanelWidth];
  for (int64_t j = 0; j < tile.columns; j += gemm.nr, b += b_stride) {
    const int64_t columns = std::min<int64_t>(gemm.nr, tile.columns - j);
    pack_b_block(gemm, segment.b, tile.column + j, columns, k0, k, b, scratch.fetch);
    const bool last = j + gemm.nr >= tile.columns;
    const int64_t after = last ? 0 : j + gemm.nr;
    const Prefetch prefetch =
        source_of(segment.b, tile.column + after, std::min<int64_t>(gemm.nr, tile.columns - after),
                  last ? k0 + k : k0, segment.k, next);
    gemm.multiply(rows, columns, k, layout, scratch.a, a_panel_bytes(gemm, k), b, b_stride,
                  tile.data + j, tile.ld, accumulate, prefetch);
  }
}

}  // namespace

GemmScratch take_scratch(Arena& arena, const GemmKernels& gemm, int thread) {
  GemmScratch scratch{};
  for (int i = 0; i <= thread; ++i) {
    const int64_t mc = round_up(gemm.mc, gemm.mr), nc = round_up(gemm.nc, gemm.nr);
    const int64_t tile_rows = round_up(kTileBlocks * gemm.mc, gemm.mr);
    scratch.a = arena.take<char>(mc / gemm.mr, a_panel_bytes(gemm, kGemmKc));
    scratch.b = arena.take<char>(b_capacity(gemm));
    scratch.c = arena.take<float>(tile_rows, scratch_row(nc));
    scratch.fetch = arena.take<float>(kFetchFloats);
    scratch.rows = arena.take<const void*>(tile_rows);
  }
  return scratch;
}

bool fits_scratch(const Gemm& problem, const GemmKernels& gemm, int64_t columns) {
  int64_t bytes = 0;
  for (int t = 0; t < problem.segment_count; ++t) {
    for (int64_t k0 = 0; k0 < problem.segments[t].k; k0 += kGemmKc) {
      bytes += b_panel_bytes(gemm, std::min(kGemmKc, problem.segments[t].k - k0));
    }
  }
  return round_up(columns, gemm.nr) / gemm.nr * bytes <= b_capacity(gemm);
}

bool reads_rows(const GemmKernels& gemm, DType compute, const KSegment& segment, int64_t columns) {
  return gemm.multiply_rows && columns <= kThin && segment.a.along_k && !segment.a.fetch &&
         segment.a.view.dtype == compute;
}

void multiply_blocks(const GemmKernels& gemm, DType compute, const KSegment& segment,
                     const GemmScratch& scratch, const GemmTile& tile, int64_t k0, int64_t k,
                     const char* b, char* pack, bool accumulate) {
  const int64_t b_stride = b_panel_bytes(gemm, k);
  if (reads_rows(gemm, compute, segment, tile.columns)) {
    for (int64_t i = 0; i < tile.rows; ++i) scratch.rows[i] = segment.a.view.at(tile.row + i, k0);
    gemm.multiply_rows(tile.rows, tile.columns, k, scratch.rows, compute, b, b_stride, tile.data,
                       tile.ld, accumulate);
    return;
  }
  // Of A that one panel of B multiplies a little is packed at a time, which stays in L1, and the next
  // rows are asked for.
  const bool thin = segment.a.along_k && segment.k > kGemmKc && tile.columns <= gemm.nr;
  const int64_t most = thin ? kThinPanels * gemm.mr : gemm.mc;
  const int64_t blocks = (tile.rows + most - 1) / most;
  const int64_t mc = round_up((tile.rows + blocks - 1) / blocks, gemm.mr);
  MemoryRun next[kThinPanels * kMaxPanelWidth];
  for (int64_t row = 0; row < tile.rows; row += mc) {
    const int64_t rows = std::min(mc, tile.rows - row);
    const ALayout layout =
        pack_a_block(gemm, segment.a, tile.row + row, rows, k0, k, scratch.a, scratch.fetch);
    if (pack && row == 0) {
      multiply_and_pack(gemm, segment, scratch, tile, rows, layout, k0, k, pack, accumulate);
      continue;
    }
    const bool last = row + rows >= tile.rows;
    const int64_t after = last ? 0 : row + rows;
    Prefetch prefetch;
    if (thin) {
      prefetch = source_of(segment.a, tile.row + after, std::min(mc, tile.rows - after),
                           last ? k0 + k : k0, segment.k, next);
    }
    gemm.multiply(rows, tile.columns, k, layout, scratch.a, a_panel_bytes(gemm, k), b, b_stride,
                  tile.data + row * tile.ld, tile.ld, accumulate, prefetch);
  }
}

}  // namespace sightline::cpu
