// The driver of gemm.h: threads take output tiles, a tile runs over all segments and k blocks.
#include "cpu/gemm/gemm.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <thread>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {
namespace {

// A block of A (mc x kc) stays in L2, a panel of B (kc x nr) in L1, the tile of C passes once per
// kc. The tile holds several blocks of A, so that a block of B, once packed, meets more rows.
constexpr int64_t kTileBlocks = 3;
// At most so many columns leave too little work to pack the rows of A for; so many rows, over all
// of k, are still in L2 when the next block of k reads on where this one ended.
constexpr int64_t kThin = 64, kThinRows = 48;
constexpr int64_t kThinPanels = 2;
constexpr int64_t kInPlaceBlocks = 2;

struct Scratch {
  char* a;
  char* b;
  float* c;
  float* fetch;
  const void** rows;
};

int64_t b_capacity(const GemmKernels& gemm) {
  return round_up(gemm.nc, gemm.nr) / gemm.nr * b_panel_bytes(gemm, kGemmKc);
}

// The scratch of thread `thread`; every thread's lies after the one before.
Scratch take_scratch(Arena& arena, const GemmKernels& gemm, int thread) {
  Scratch scratch{};
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

// Whether all of B at so many columns fits scratch.b.
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

// Tiles as large as the caches like, smaller where threads would idle. Shapes change no bit.
struct Partition {
  int64_t mc = 0, nc = 0, m_tiles = 0, n_tiles = 0;

  Partition(const Gemm& problem, const GemmKernels& gemm, int threads) {
    if (problem.m == 0 || problem.n == 0) return;
    const bool thin = problem.segment_count > 0 &&
                      reads_rows(gemm, problem.compute, *problem.segments, problem.n) &&
                      fits_scratch(problem, gemm, problem.n);
    const int64_t most_rows = thin ? kThinRows : kTileBlocks * gemm.mc;
    int64_t m_parts = (problem.m + most_rows - 1) / most_rows,
            n_parts = (problem.n + gemm.nc - 1) / gemm.nc;
    const int64_t m_panels = (problem.m + gemm.mr - 1) / gemm.mr;
    const int64_t n_panels = (problem.n + gemm.nr - 1) / gemm.nr;
    // Every part of m computes B's rows again.
    bool computed_b = false;
    for (int t = 0; t < problem.segment_count; ++t) {
      computed_b |= !problem.segments[t].packed && problem.segments[t].b.fetch != nullptr;
    }
    while (threads > 1 && m_parts * n_parts < 3 * threads) {
      const bool can_split_n = n_parts * 4 <= n_panels,
                 can_split_m = m_parts * 4 <= m_panels && !(computed_b && n_parts >= threads);
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
void multiply_and_pack(const GemmKernels& gemm, const KSegment& segment, const Scratch& scratch,
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

// C's tile (+)= A's rows [k0, k0 + k) times the panels b, one block of A after the other. B's are
// there already, unless `pack` says where they are packed with the first block.
void multiply_blocks(const GemmKernels& gemm, DType compute, const KSegment& segment,
                     const Scratch& scratch, const GemmTile& tile, int64_t k0, int64_t k,
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

// The epilogue of a product that is summed where it belongs, because a finished tile would only be
// copied there; null if there is more to do, or if more blocks of k come back to a tile than is
// worth its strided rows.
const StoreEpilogue* in_place(const Gemm& problem) {
  if (problem.epilogue != store_tile) return nullptr;
  if (problem.needs > 0 && problem.waits_at == problem.segment_count) return nullptr;
  const auto* store = static_cast<const StoreEpilogue*>(problem.user);
  const View3& out = store->out;
  if (out.dtype != DType::kFloat32 || store->scale != 1.f || store->bias) return nullptr;
  if (out.batch > 1 && out.batch_stride != out.rows * out.row_stride) return nullptr;
  int64_t blocks = 0;
  for (int t = 0; t < problem.segment_count; ++t) {
    blocks += (problem.segments[t].k + kGemmKc - 1) / kGemmKc;
  }
  // Two sums are added to what is there after they are added to each other.
  const int64_t most = store->accumulate ? 1 : kInPlaceBlocks;
  return blocks <= most ? store : nullptr;
}

// One product of a sequence under way.
struct Job {
  const Gemm* problem;
  const StoreEpilogue* place;  // of its sums, or null
  Partition partition;
  int64_t first_tile;  // in the numbering that runs through all jobs
  std::atomic<int64_t> tiles_left;

  Job(const Gemm& gemm_problem, const GemmKernels& gemm, int threads, int64_t first)
      : problem(&gemm_problem),
        place(in_place(gemm_problem)),
        partition(gemm_problem, gemm, threads),
        first_tile(first),
        tiles_left(tiles()) {}

  int64_t tiles() const { return partition.m_tiles * partition.n_tiles; }
  GemmTile tile(int64_t index, float* scratch) const {
    // m runs fastest: threads at work at the same time read the same columns of B.
    const int64_t row = index % partition.m_tiles * partition.mc;
    const int64_t column = index / partition.m_tiles * partition.nc;
    GemmTile tile{scratch, scratch_row(partition.nc),
                  row,     std::min(partition.mc, problem->m - row),
                  column,  std::min(partition.nc, problem->n - column)};
    if (place) {
      tile.data = reinterpret_cast<float*>(place->out.at(row, column));
      tile.ld = place->out.row_stride;
    }
    return tile;
  }
};

// Tiles are dealt in order, so what is waited for is in the hands of threads that run, and mostly
// done already. The others may be on this thread's core: it gives way rather than spin.
void wait_for(const Job* jobs, int count) {
  for (int i = 0; i < count; ++i) {
    while (jobs[i].tiles_left.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  }
}

// What a thread has in scratch.b: all of B at these columns, if it is small enough to stay from
// tile to tile, down the rows.
struct ResidentB {
  const Gemm* problem = nullptr;
  int64_t column = 0;
};

void compute_tile(const Job& job, const GemmKernels& gemm, const Job* jobs, const Scratch& scratch,
                  const GemmTile& tile, ResidentB& resident) {
  const Gemm& problem = *job.problem;
  const bool stays = fits_scratch(problem, gemm, tile.columns);
  const bool is_there = stays && resident.problem == &problem && resident.column == tile.column;
  const auto wait_at = [&](int segment) {
    if (segment == problem.waits_at) wait_for(jobs, problem.needs);
  };
  char* next_b = scratch.b;
  bool accumulate = job.place && job.place->accumulate;
  for (int t = 0; t < problem.segment_count; ++t) {
    const KSegment& segment = problem.segments[t];
    wait_at(t);
    for (int64_t k0 = 0; k0 < segment.k; k0 += kGemmKc) {
      const int64_t k = std::min(kGemmKc, segment.k - k0);
      const char* b = next_b;
      char* pack = nullptr;
      if (segment.packed) {
        const int64_t panels = (segment.packed->n + gemm.nr - 1) / gemm.nr;
        b = static_cast<const char*>(segment.packed->data) + panels * b_panel_bytes(gemm, k0) +
            tile.column / gemm.nr * b_panel_bytes(gemm, k);
      } else if (!is_there) {
        // Where a tile's rows are read in place all panels are wanted at once; where B's rows lie
        // across k they are packed along all columns.
        if (segment.b.along_k && !reads_rows(gemm, problem.compute, segment, tile.columns)) {
          pack = next_b;
        } else {
          pack_b_block(gemm, segment.b, tile.column, tile.columns, k0, k, next_b, scratch.fetch);
        }
      }
      if (stays && !segment.packed) {
        next_b += round_up(tile.columns, gemm.nr) / gemm.nr * b_panel_bytes(gemm, k);
      }
      multiply_blocks(gemm, problem.compute, segment, scratch, tile, k0, k, b, pack, accumulate);
      accumulate = true;
    }
  }
  wait_at(problem.segment_count);
  resident = {stays ? &problem : nullptr, tile.column};
  if (!accumulate) {
    for (int64_t i = 0; i < tile.rows; ++i) {
      std::memset(tile.data + i * tile.ld, 0, static_cast<size_t>(tile.columns) * sizeof(float));
    }
  }
}

int useful_threads(const Gemm* sequence, int count, int threads) {
  double products = 0;
  for (int i = 0; i < count; ++i) {
    int64_t k = 0;
    for (int t = 0; t < sequence[i].segment_count; ++t) k += sequence[i].segments[t].k;
    products += static_cast<double>(sequence[i].m) * static_cast<double>(sequence[i].n * k);
  }
  if (products >= static_cast<double>(threads * kProductsPerThread)) return threads;
  return 1 + static_cast<int>(products / static_cast<double>(kProductsPerThread));
}

}  // namespace

int64_t gemm_workspace_bytes(const Kernels& kernels, DType compute, int threads, int count) {
  Arena arena(nullptr);
  arena.take<Job>(count);
  take_scratch(arena, kernels.gemm(compute), threads - 1);
  return arena.bytes();
}

void gemm(const Kernels& kernels, const Gemm* sequence, int count, void* workspace, int threads) {
  if (count == 0) return;
  const GemmKernels& gemm = kernels.gemm(sequence->compute);
  threads = useful_threads(sequence, count, threads);
  Arena arena(workspace);
  Job* jobs = arena.take<Job>(count);
  int64_t tiles = 0;
  for (int i = 0; i < count; ++i) {
    const Job* job = new (&jobs[i]) Job(sequence[i], gemm, threads, tiles);
    tiles += job->tiles();
  }
  threads = static_cast<int>(std::min<int64_t>(threads, tiles));
  if (tiles == 0) return;
  std::atomic<int64_t> next_tile{0};
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    Arena own = arena;
    const Scratch scratch = take_scratch(own, gemm, omp_get_thread_num());
    ResidentB resident;
    Job* job = jobs;
    for (int64_t index; (index = next_tile.fetch_add(1, std::memory_order_relaxed)) < tiles;) {
      while (index >= job->first_tile + job->tiles()) ++job;
      const GemmTile tile = job->tile(index - job->first_tile, scratch.c);
      compute_tile(*job, gemm, jobs, scratch, tile, resident);
      if (!job->place) job->problem->epilogue(job->problem->user, kernels, tile);
      job->tiles_left.fetch_sub(1, std::memory_order_release);
    }
  }
}

}  // namespace sightline::cpu
