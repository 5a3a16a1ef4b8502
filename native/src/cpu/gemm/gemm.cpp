// The driver of gemm.h: threads take output tiles, a tile runs over all segments and k blocks.
#include "cpu/gemm/gemm.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <thread>

#include "cpu/gemm/blocks.h"
#include "cpu/gemm/pack.h"

namespace sightline::cpu {
namespace {

// So many rows of a thin product, over all of k, are still in L2 when the next block of k reads on
// where this one ended.
constexpr int64_t kThinRows = 48;
constexpr int64_t kInPlaceBlocks = 2;

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

void compute_tile(const Job& job, const GemmKernels& gemm, const Job* jobs,
                  const GemmScratch& scratch, const GemmTile& tile, ResidentB& resident) {
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
    const GemmScratch scratch = take_scratch(own, gemm, omp_get_thread_num());
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
