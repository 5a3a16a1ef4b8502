// C[m,n] = epilogue(A[m,k] B[n,k]^T [+ further terms]), 16-bit operands, fp32 accumulation, sm_80
// and later.
//
// One block of 8 warps computes one 128x128 tile (a warp 64x32). Loads run kStages - 1 blocks of 64
// k ahead with cp.async; ldmatrix feeds mma.m16n8k16. After the last k the accumulators are staged
// in the same shared memory and leave through the row epilogue (row_epilogue.cuh). Shared memory:
// kStages x (A 16 KB + B 16 KB), then one float4 per row. Tiles of 64 columns (a warp 32x32) serve
// products with few columns, whose k is split.
#pragma once

#include "cuda/epilogue/dropout.h"
#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/fragments.h"
#include "cuda/gemm/operand.h"
#include "cuda/gemm/raster.h"
#include "cuda/gemm/row_epilogue.cuh"
#include "cuda/gemm/swizzle.h"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

// Copies one operand's tile of a stage: kExtent rows of 64 k, or 64 k of kExtent columns. Up to
// four 16-byte chunks a thread, whose rows do not change along k for a K-major operand.
template <class T, Major kMajor, int kThreads, int kExtent>
struct StageLoader {
  static constexpr int kRowChunks = kMajor == Major::kK ? kBlockK / 8 : kExtent / 8;
  static constexpr int kRowBytes = kRowChunks * 16;
  static constexpr int kBytes = kExtent * kBlockK * 2;
  static constexpr int kChunks = kBytes / 16 / kThreads;
  static_assert(kThreads % kRowChunks == 0, "a thread keeps its chunk column");
  static constexpr int kRowStep = kThreads / kRowChunks;

  const T* pointer[kChunks];  // K-major: start of the row. MN-major: [0] only, start of the columns
  Operand rows_of;            // MN-major: rows of k may come in batches
  int row, chunk;             // of the thread's first chunk
  int first, extent, depth;

  SL_DEVICE StageLoader(const Operand& operand, int first_, int extent_, int depth_, int thread)
      : rows_of(operand),
        row(thread / kRowChunks),
        chunk(thread % kRowChunks),
        first(first_),
        extent(extent_),
        depth(depth_) {
    const T* data = static_cast<const T*>(operand.data);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int r = first + row + i * kRowStep;
      // Rows past the end are never read; any valid address will do.
      pointer[i] = kMajor == Major::kK ? data + operand.offset(r < extent ? r : 0) : data;
    }
  }

  SL_DEVICE void load(uint32_t stage, int k0) const {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int r = row + i * kRowStep;
      const uint32_t destination = stage + swizzled_chunk<kRowBytes>(r, chunk);
      if constexpr (kMajor == Major::kK) {
        const int k = k0 + chunk * 8;
        const bool valid = first + r < extent && k < depth;
        ptx::cp_async_16(destination, pointer[i] + (valid ? k : 0), valid ? 16 : 0);
      } else {
        const int k = k0 + r, column = first + chunk * 8;
        const bool valid = k < depth && column < extent;
        ptx::cp_async_16(destination, pointer[0] + (valid ? rows_of.offset(k) + column : 0),
                         valid ? 16 : 0);
      }
    }
  }

  // Zeroes what the dropout mask drops of this thread's own chunks, once they have landed. A chunk
  // is eight columns of one row of the matrix as stored, in either orientation.
  SL_DEVICE void drop(uint8_t* stage, int k0, const Dropout& dropout) const {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int r = row + i * kRowStep;
      const int64_t matrix_row = kMajor == Major::kK ? first + r : k0 + r;
      const int column = (kMajor == Major::kK ? k0 : first) + chunk * 8;
      uint4* at = reinterpret_cast<uint4*>(stage + swizzled_chunk<kRowBytes>(r, chunk));
      uint4 held = *at;
      uint32_t* words = &held.x;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Philox4 drawn =
            dropout_words(dropout.seed, dropout.stream, static_cast<uint64_t>(matrix_row),
                          static_cast<uint32_t>(column / 4 + half));
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const uint32_t low = drawn.word[2 * j] >= dropout.threshold ? 0xffffu : 0u;
          const uint32_t high = drawn.word[2 * j + 1] >= dropout.threshold ? 0xffff0000u : 0u;
          words[2 * half + j] &= low | high;
        }
      }
      *at = held;
    }
  }
};

template <class T, Major kMajorA, Major kMajorB, class Epilogue_, int kTileN_ = 128>
struct PortableGemm {
  using Epilogue = Epilogue_;
  static constexpr int kTileM = 128, kTileN = kTileN_;
  static constexpr int kWarpM = kTileN / 2, kWarpN = 32;
  static constexpr int kStages = kTileN == 128 ? 3 : 4;  // 96 KB: fits the 99 KB of sm_86 and sm_89
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = kTileN == 64 ? 2 : 1;
  static_assert(kTileN == 128 || kTileN == 64, "eight warps of (kTileN / 2) x 32");
  using LoaderA = StageLoader<T, kMajorA, kThreads, kTileM>;
  using LoaderB = StageLoader<T, kMajorB, kThreads, kTileN>;
  static constexpr int kStageBytes = LoaderA::kBytes + LoaderB::kBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes + kTileM * 16;
  static_assert(StagedTile<kTileN>::bytes(kTileM) <= kStages * kStageBytes,
                "the staged accumulators reuse the stages");
  static_assert(kSharedBytes <= 99 * 1024, "opt-in limit of sm_86 and sm_89");
  static_assert(kTileM == kAlternateBlockRows, "a tile reads one of the two A operands");

  struct Params {
    GemmProblem problem;
    int tiles_m, tiles_n;
    typename Epilogue::Params epilogue;
  };

  static Params params(const GemmProblem& problem, const typename Epilogue::Params& epilogue) {
    return {problem, ceil_div(problem.m, kTileM), ceil_div(problem.n, kTileN), epilogue};
  }
  static int blocks(const Params& p) {
    return p.tiles_m * p.tiles_n * (kHasSplitK<Epilogue> ? p.problem.splits : 1);
  }

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    const int split = kHasSplitK<Epilogue> ? ptx::block_id() / (p.tiles_m * p.tiles_n) : 0;
    if constexpr (kHasSplitK<Epilogue>) {
      run_tile(p, Epilogue::split(p.epilogue, split), split);
    } else {
      run_tile(p, p.epilogue, split);
    }
  }

  static SL_DEVICE void run_tile(const Params& p, const typename Epilogue::Params& epilogue,
                                 int split) {
    const GemmProblem& problem = p.problem;
    const TileIndex tile =
        raster(ptx::block_id() - split * (p.tiles_m * p.tiles_n), p.tiles_m, p.tiles_n);
    const int first_m = tile.m * kTileM, first_n = tile.n * kTileN;
    const int thread = ptx::thread_id(), lane = thread % 32, warp = thread / 32;
    const int warp_m = warp % (kTileM / kWarpM) * kWarpM;
    const int warp_n = warp / (kTileM / kWarpM) * kWarpN;

    uint8_t* shared = ptx::shared_memory();
    const uint32_t stages = ptx::shared_address(shared);
    float4* slots = reinterpret_cast<float4*>(shared + kStages * kStageBytes);
    if (thread < kTileM) {
      prepare_slot<Epilogue>(epilogue, slots + thread, first_m + thread, problem.m);
    }

    const bool alternate =
        problem.alternate_blocks != nullptr && problem.alternate_blocks[tile.m] != 0;
    LoaderA loader_a(alternate ? problem.a_alternate : problem.a, first_m, problem.m, problem.k,
                     thread);
    LoaderB loader_b(problem.b, first_n, problem.n, problem.k, thread);
    const int first_blocks = ceil_div(problem.k, kBlockK);
    const BlockRange range = kHasSplitK<Epilogue>
                                 ? split_blocks(first_blocks, problem.splits, split)
                                 : BlockRange{0, first_blocks};
    int k_blocks = range.end - range.begin;
    if constexpr (kHasMoreTerms<Epilogue>) {
      for (int t = 0; t < problem.more_count; ++t) k_blocks += ceil_div(problem.more[t].k, kBlockK);
    }
    // Blocks are loaded in order, so the loaders move on to the next term when they come to it.
    [[maybe_unused]] int next_term = 0, term_end = first_blocks;
    int term_begin = -range.begin;
    const auto load = [&](int k_block) {
      if constexpr (kHasMoreTerms<Epilogue>) {
        if (k_block == term_end) {
          const GemmTerm& term = problem.more[next_term++];
          loader_a = LoaderA(term.a, first_m, problem.m, term.k, thread);
          loader_b = LoaderB(term.b, first_n, problem.n, term.k, thread);
          term_begin = term_end;
          term_end += ceil_div(term.k, kBlockK);
        }
      }
      const uint32_t stage = stages + k_block % kStages * kStageBytes;
      loader_a.load(stage, (k_block - term_begin) * kBlockK);
      loader_b.load(stage + LoaderA::kBytes, (k_block - term_begin) * kBlockK);
    };

    float accumulators[kWarpM / 16][kWarpN / 8][4] = {};
    // Every accumulator register of this thread once, with its position.
    [[maybe_unused]] const auto first_term = [&] {
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
        for (int j = 0; j < kWarpN / 8; ++j) {
          const Position at = mma_accumulator(lane, 0);
          const int row = first_m + warp_m + 16 * i + at.row;
          const int column = first_n + warp_n + 8 * j + at.column;
          float(&c)[4] = accumulators[i][j];
          if constexpr (kHasFirstTerm<Epilogue>) {
            Epilogue::first_term(epilogue, row, column, c[0], c[1]);
            Epilogue::first_term(epilogue, row + 8, column, c[2], c[3]);
          }
        }
      }
    };
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < k_blocks) load(i);
      ptx::cp_async_commit();  // an empty group too: the count of groups stands for the block
    }
#pragma unroll 1
    for (int k_block = 0; k_block < k_blocks; ++k_block) {
      ptx::cp_async_wait<kStages - 2>();  // this block has landed, for this thread
      if constexpr (kHasDropA<Epilogue>) {
        const Dropout dropout = Epilogue::drop_a(epilogue);
        if (dropout.threshold != 0) {
          loader_a.drop(shared + k_block % kStages * kStageBytes, (range.begin + k_block) * kBlockK,
                        dropout);
        }
      }
      ptx::sync_threads();  // for all; and all are done with the block before it
      if constexpr (kHasFirstTerm<Epilogue>) {
        if (k_block == first_blocks) first_term();
      }
      if (k_block + kStages - 1 < k_blocks) load(k_block + kStages - 1);
      ptx::cp_async_commit();
      const uint32_t stage = stages + k_block % kStages * kStageBytes;
      multiply(stage, stage + LoaderA::kBytes, warp_m, warp_n, lane, accumulators);
    }

    if constexpr (kHasFirstTerm<Epilogue>) {
      if (k_blocks == first_blocks) first_term();
    }

    ptx::cp_async_wait<0>();
    ptx::sync_threads();  // the stages become the staged tile
    const StagedTile<kTileN> staged{shared};
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
      for (int j = 0; j < kWarpN / 8; ++j) {
        const Position at = mma_accumulator(lane, 0);
        const int row = warp_m + 16 * i + at.row, column = warp_n + 8 * j + at.column;
        const float(&c)[4] = accumulators[i][j];
        staged.put(row, column, c[0], c[1]);
        staged.put(row + 8, column, c[2], c[3]);
      }
    }
    ptx::sync_threads();
    apply_epilogue<Epilogue, kTileM, kTileN, kThreads>(epilogue, staged, slots, first_m, first_n,
                                                       problem.m, problem.n, thread);
    if constexpr (Epilogue::kRowSums > 0) {
      ptx::sync_threads();
      if (thread < kTileM) {
        finish_slot<Epilogue>(epilogue, slots + thread, first_m + thread, problem.m, tile.n);
      }
    }
  }

  // One block of 64 k: four k-steps of 16.
  static SL_DEVICE void multiply(uint32_t tile_a, uint32_t tile_b, int warp_m, int warp_n, int lane,
                                 float (&accumulators)[kWarpM / 16][kWarpN / 8][4]) {
#pragma unroll
    for (int kk = 0; kk < kBlockK / 16; ++kk) {
      uint32_t a[kWarpM / 16][4], b[kWarpN / 16][4];
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
        if constexpr (kMajorA == Major::kK) {
          const MatrixRow at = a_k_major(lane, warp_m + 16 * i, kk);
          ptx::ldmatrix_x4(a[i], tile_a + swizzled_chunk<LoaderA::kRowBytes>(at.row, at.chunk));
        } else {
          const MatrixRow at = a_mn_major(lane, warp_m + 16 * i, kk);
          ptx::ldmatrix_x4_trans(a[i],
                                 tile_a + swizzled_chunk<LoaderA::kRowBytes>(at.row, at.chunk));
        }
      }
#pragma unroll
      for (int j = 0; j < kWarpN / 16; ++j) {
        if constexpr (kMajorB == Major::kK) {
          const MatrixRow at = b_k_major(lane, warp_n + 16 * j, kk);
          ptx::ldmatrix_x4(b[j], tile_b + swizzled_chunk<LoaderB::kRowBytes>(at.row, at.chunk));
        } else {
          const MatrixRow at = b_mn_major(lane, warp_n + 16 * j, kk);
          ptx::ldmatrix_x4_trans(b[j],
                                 tile_b + swizzled_chunk<LoaderB::kRowBytes>(at.row, at.chunk));
        }
      }
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
        for (int j = 0; j < kWarpN / 8; ++j) {
          ptx::mma_m16n8k16<T>(accumulators[i][j], a[i], b[j / 2][2 * (j % 2)],
                               b[j / 2][2 * (j % 2) + 1]);
        }
      }
    }
  }
};

}  // namespace sightline::cuda
