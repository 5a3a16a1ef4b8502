// The driver of gemm.h: threads take output tiles, a tile runs over all terms and k blocks.
#include "cpu/gemm/gemm.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "cpu/gemm/pack.h"

namespace sightline {
namespace {

// A block of A (kMc x kc) stays in L2, a panel of B (kc x nr) in L1, the tile of C passes once per
// kc. The tile holds several blocks of A, so that a block of B, once packed, meets more rows.
constexpr int64_t kMc = 192, kTileRows = 3 * kMc, kNc = 512;
// At most so many columns leave too little work to pack the rows of A for.
constexpr int64_t kThin = 64;
static_assert(kNc + kMaxPanelWidth <= kMaxFetchLanes);
// Products (about 30 us of work) below which another thread would wake up too late to help.
constexpr int64_t kProductsPerThread = int64_t{1} << 19;

// One line more, so that rows a power of two long do not share cache sets.
int64_t leading(int64_t columns) { return round_up(columns, kRowPad) + kRowPad; }

struct Scratch {
  char* a;
  char* b;
  float* c;
  float* fetch;
  const float** rows;
};

// Every thread's scratch, one after the other.
Scratch scratch_layout(const GemmKernels& gemm, void* base, int thread, int64_t* bytes) {
  ScratchLayout layout(base);
  Scratch scratch{};
  for (int i = 0; i <= thread; ++i) {
    const int64_t mc = round_up(kMc, gemm.mr), nc = round_up(kNc, gemm.nr);
    const int64_t tile_rows = round_up(kTileRows, gemm.mr);
    scratch.a = layout.take<char>(mc / gemm.mr * panel_bytes(gemm, gemm.mr, kGemmKc) + kPanelSlack);
    scratch.b = layout.take<char>(nc / gemm.nr * panel_bytes(gemm, gemm.nr, kGemmKc) + kPanelSlack);
    scratch.c = layout.take<float>(tile_rows * leading(nc));
    scratch.fetch = layout.take<float>(kFetchFloats);
    scratch.rows = layout.take<const float*>(tile_rows);
  }
  if (bytes) *bytes = layout.bytes();
  return scratch;
}

// Tiles as large as the caches like, smaller where threads would idle. Shapes change no bit.
struct Partition {
  int64_t mc, nc, m_tiles, n_tiles;

  Partition(const Gemm& problem, const GemmKernels& gemm, int threads) {
    int64_t m_parts = (problem.m + kTileRows - 1) / kTileRows,
            n_parts = (problem.n + kNc - 1) / kNc;
    const int64_t m_panels = (problem.m + gemm.mr - 1) / gemm.mr;
    const int64_t n_panels = (problem.n + gemm.nr - 1) / gemm.nr;
    while (threads > 1 && m_parts * n_parts < 3 * threads) {
      const bool can_split_n = n_parts * 4 <= n_panels, can_split_m = m_parts * 4 <= m_panels;
      if (can_split_n && (!can_split_m || n_panels / n_parts >= m_panels / m_parts)) {
        n_parts *= 2;
      } else if (can_split_m) {
        m_parts *= 2;
      } else {
        break;
      }
    }
    mc = (m_panels + m_parts - 1) / m_parts * gemm.mr;
    nc = (n_panels + n_parts - 1) / n_parts * gemm.nr;
    m_tiles = (problem.m + mc - 1) / mc;
    n_tiles = (problem.n + nc - 1) / nc;
  }
};

// C's tile (+)= A's rows [k0, k0 + k) times the panels b, one block of A after the other.
void multiply_blocks(const GemmKernels& gemm, const GemmTerm& term, const Scratch& scratch,
                     const GemmTile& tile, int64_t k0, int64_t k, const char* b, bool accumulate) {
  const int64_t b_stride = panel_bytes(gemm, gemm.nr, k);
  if (gemm.multiply_rows && tile.columns <= kThin && term.a.along_k && !term.a.fetch &&
      term.a.view.dtype == DType::kFloat32) {
    for (int64_t i = 0; i < tile.rows; ++i) {
      scratch.rows[i] = reinterpret_cast<const float*>(term.a.view.at(tile.row + i, k0));
    }
    gemm.multiply_rows(tile.rows, tile.columns, k, scratch.rows, b, b_stride, tile.data, tile.ld,
                       accumulate);
    return;
  }
  const int64_t blocks = (tile.rows + kMc - 1) / kMc;
  const int64_t mc = round_up((tile.rows + blocks - 1) / blocks, gemm.mr);
  for (int64_t row = 0; row < tile.rows; row += mc) {
    const int64_t rows = std::min(mc, tile.rows - row);
    pack_block(gemm, term.a, gemm.mr, tile.row + row, rows, k0, k, scratch.a, scratch.fetch);
    gemm.multiply(rows, tile.columns, k, scratch.a, panel_bytes(gemm, gemm.mr, k), b, b_stride,
                  tile.data + row * tile.ld, tile.ld, accumulate);
  }
}

void compute_tile(const Gemm& problem, const GemmKernels& gemm, const Scratch& scratch,
                  const GemmTile& tile) {
  bool accumulate = false;
  for (int t = 0; t < problem.term_count; ++t) {
    const GemmTerm& term = problem.terms[t];
    for (int64_t k0 = 0; k0 < term.k; k0 += kGemmKc) {
      const int64_t k = std::min(kGemmKc, term.k - k0);
      const char* b = scratch.b;
      if (term.packed) {
        const int64_t panels = (term.packed->n + gemm.nr - 1) / gemm.nr;
        b = static_cast<const char*>(term.packed->data) + panels * panel_bytes(gemm, gemm.nr, k0) +
            tile.column / gemm.nr * panel_bytes(gemm, gemm.nr, k);
      } else {
        pack_block(gemm, term.b, gemm.nr, tile.column, tile.columns, k0, k, scratch.b,
                   scratch.fetch);
      }
      multiply_blocks(gemm, term, scratch, tile, k0, k, b, accumulate);
      accumulate = true;
    }
  }
  if (!accumulate) {
    for (int64_t i = 0; i < tile.rows; ++i) {
      std::memset(tile.data + i * tile.ld, 0, static_cast<size_t>(tile.columns) * sizeof(float));
    }
  }
}

}  // namespace

int64_t gemm_workspace_bytes(const Kernels& kernels, DType compute, int threads) {
  int64_t bytes;
  scratch_layout(kernels.gemm(compute), nullptr, threads - 1, &bytes);
  return bytes;
}

void gemm(const Kernels& kernels, const Gemm& problem, void* workspace, int threads) {
  if (problem.m == 0 || problem.n == 0) return;
  const GemmKernels& gemm = kernels.gemm(problem.compute);
  int64_t k = 0;
  for (int t = 0; t < problem.term_count; ++t) k += problem.terms[t].k;
  const double products = static_cast<double>(problem.m) * static_cast<double>(problem.n * k);
  if (products < static_cast<double>(threads * kProductsPerThread)) {
    threads = 1 + static_cast<int>(products / static_cast<double>(kProductsPerThread));
  }
  const Partition partition(problem, gemm, threads);
  const int64_t tiles = partition.m_tiles * partition.n_tiles;
  threads = static_cast<int>(std::min<int64_t>(threads, tiles));
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Scratch scratch = scratch_layout(gemm, workspace, omp_get_thread_num(), nullptr);
    // m runs fastest: threads at work at the same time read the same columns of B.
#pragma omp for schedule(dynamic, 1) nowait
    for (int64_t index = 0; index < tiles; ++index) {
      const int64_t row = index % partition.m_tiles * partition.mc;
      const int64_t column = index / partition.m_tiles * partition.nc;
      const GemmTile tile{scratch.c, leading(partition.nc),
                          row,       std::min(partition.mc, problem.m - row),
                          column,    std::min(partition.nc, problem.n - column)};
      compute_tile(problem, gemm, scratch, tile);
      problem.epilogue(problem.user, kernels, tile);
    }
  }
}

void store_tile(const void* user, const Kernels& kernels, const GemmTile& tile) {
  const auto& store = *static_cast<const StoreEpilogue*>(user);
  const void* bias = store.bias ? store.bias.at(0, tile.column) : nullptr;
  for (int64_t i = 0; i < tile.rows; ++i) {
    kernels.row.store(store.out.at(tile.row + i, tile.column), store.out.dtype,
                      tile.data + i * tile.ld, tile.columns, store.scale, bias, store.bias.dtype,
                      store.accumulate);
  }
}

}  // namespace sightline
