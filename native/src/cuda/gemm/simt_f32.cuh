// C[m,n] = epilogue(A[m,k] B[n,k]^T [+ extra segments]) in plain fp32 (fused multiply-add, k in
// order), any GPU.
//
// One block of 256 threads computes one 128x128 tile; a thread has 2x2 blocks of 4x4 elements.
// Blocks of 16 k pass through registers into shared memory [k][128 + 4], double buffered.
// Row strides are multiples of 4 elements, addresses of 16 bytes, and a row is readable up to its
// length rounded up to 4; along k that remainder holds zeros.
#pragma once

#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/problem.h"
#include "cuda/gemm/row_epilogue.cuh"
#include "cuda/gemm/tile_grid.cuh"
#include "cuda/math/dropout.h"
#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

// Moves one operand's 128 x 16 block: two float4 a thread.
template <Major kMajor>
struct BlockLoaderF32 {
  static constexpr int kDepth = 16, kPitch = 128 + 4;

  const float* data;
  const float* row_pointer[2];
  Operand rows_of;  // MN-major: rows of k may come in batches
  int first, extent, depth, thread;
  float4 held[2];

  SL_DEVICE BlockLoaderF32(const Operand& operand, int first_, int extent_, int depth_, int thread_)
      : data(static_cast<const float*>(operand.data)),
        rows_of(operand),
        first(first_),
        extent(extent_),
        depth(depth_),
        thread(thread_) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = first + thread / 4 + 64 * i;
      row_pointer[i] = kMajor == Major::kK ? data + operand.offset(row < extent ? row : 0) : data;
    }
  }

  SL_DEVICE void fetch(int k0) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      held[i] = make_float4(0.f, 0.f, 0.f, 0.f);
      if constexpr (kMajor == Major::kK) {
        const int row = first + thread / 4 + 64 * i, k = k0 + thread % 4 * 4;
        if (row < extent && k < depth) {
          held[i] = *reinterpret_cast<const float4*>(row_pointer[i] + k);
        }
      } else {
        const int k = k0 + thread / 32 + 8 * i, column = first + thread % 32 * 4;
        if (k < depth && column < extent) {
          held[i] = *reinterpret_cast<const float4*>(data + rows_of.offset(k) + column);
        }
      }
    }
  }

  // Zeroes what the dropout mask drops of what was fetched at k0: four columns of one stored row.
  SL_DEVICE void drop(int k0, const Dropout& dropout) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int64_t row =
          kMajor == Major::kK ? first + thread / 4 + 64 * i : k0 + thread / 32 + 8 * i;
      const int column = kMajor == Major::kK ? k0 + thread % 4 * 4 : first + thread % 32 * 4;
      const Philox4 drawn = dropout_words(dropout.seed, dropout.stream, static_cast<uint64_t>(row),
                                          static_cast<uint32_t>(column / 4));
      if (drawn.word[0] < dropout.threshold) held[i].x = 0.f;
      if (drawn.word[1] < dropout.threshold) held[i].y = 0.f;
      if (drawn.word[2] < dropout.threshold) held[i].z = 0.f;
      if (drawn.word[3] < dropout.threshold) held[i].w = 0.f;
    }
  }

  SL_DEVICE void store(float* block) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (kMajor == Major::kK) {
        float* at = block + thread % 4 * 4 * kPitch + thread / 4 + 64 * i;
        at[0] = held[i].x;
        at[kPitch] = held[i].y;
        at[2 * kPitch] = held[i].z;
        at[3 * kPitch] = held[i].w;
      } else {
        *reinterpret_cast<float4*>(block + (thread / 32 + 8 * i) * kPitch + thread % 32 * 4) =
            held[i];
      }
    }
  }
};

template <Major kMajorA, Major kMajorB, class Epilogue_>
struct SimtGemm : TileGrid<SimtGemm<kMajorA, kMajorB, Epilogue_>, Epilogue_, 128, 128> {
  using Epilogue = Epilogue_;
  using LoaderA = BlockLoaderF32<kMajorA>;
  using LoaderB = BlockLoaderF32<kMajorB>;
  static constexpr int kTileM = 128, kTileN = 128, kDepth = LoaderA::kDepth;
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr int kBlockFloats = kDepth * LoaderA::kPitch;
  static constexpr int kTileBytes = StagedTile<kTileN>::bytes(kTileM);
  static constexpr int kSharedBytes = kTileBytes + kTileM * 16;
  static_assert(4 * kBlockFloats * 4 <= kTileBytes, "both buffers lie under the staged tile");
  static_assert(kTileM == kAlternateBlockRows, "a tile reads one of the two A operands");

  static SL_DEVICE void run_tile(const GemmProblem& problem,
                                 const typename Epilogue::Params& epilogue, TileIndex tile,
                                 int split) {
    const int first_m = tile.m * kTileM, first_n = tile.n * kTileN;
    const int thread = ptx::thread_id();
    const int thread_m = thread / 16 * 4, thread_n = thread % 16 * 4;

    uint8_t* shared = ptx::shared_memory();
    float* blocks = reinterpret_cast<float*>(shared);  // A0, B0, A1, B1
    float4* row_scratch = reinterpret_cast<float4*>(shared + kTileBytes);
    if (thread < kTileM) {
      init_row_scratch<Epilogue>(epilogue, row_scratch + thread, first_m + thread, problem.m);
    }

    const bool alternate =
        problem.alternate_blocks != nullptr && problem.alternate_blocks[tile.m] != 0;
    LoaderA loader_a(alternate ? problem.a_alternate : problem.a, first_m, problem.m, problem.k,
                     thread);
    LoaderB loader_b(problem.b, first_n, problem.n, problem.k, thread);

    float accumulators[2][2][4][4] = {};
    const int first_blocks = ceil_div(problem.k, kDepth);
    const BlockRange range = kHasSplitK<Epilogue>
                                 ? split_blocks(first_blocks, problem.splits, split)
                                 : BlockRange{0, first_blocks};
    int k_blocks = range.end - range.begin;
    if constexpr (kHasFusedK<Epilogue>) {
      for (int t = 0; t < problem.extra_count; ++t)
        k_blocks += ceil_div(problem.extra[t].k, kDepth);
    }
    // Blocks are fetched in order, so the loaders move on to the next segment when they come to it.
    [[maybe_unused]] int next_segment = 0, segment_end = first_blocks;
    int segment_begin = -range.begin;
    const auto fetch = [&](int k_block) {
      if constexpr (kHasFusedK<Epilogue>) {
        if (k_block == segment_end) {
          const KSegment& segment = problem.extra[next_segment++];
          loader_a = LoaderA(segment.a, first_m, problem.m, segment.k, thread);
          loader_b = LoaderB(segment.b, first_n, problem.n, segment.k, thread);
          segment_begin = segment_end;
          segment_end += ceil_div(segment.k, kDepth);
        }
      }
      const int k0 = (k_block - segment_begin) * kDepth;
      loader_a.fetch(k0);
      loader_b.fetch(k0);
      if constexpr (kHasDropA<Epilogue>) {
        const Dropout dropout = Epilogue::drop_a(epilogue);
        if (dropout.threshold != 0) loader_a.drop(k0, dropout);
      }
    };
    [[maybe_unused]] const auto mask_first_segment = [&] {
#pragma unroll
      for (int im = 0; im < 2; ++im) {
#pragma unroll
        for (int in = 0; in < 2; ++in) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float(&c)[4] = accumulators[im][in][i];
            const int row = first_m + thread_m + 64 * im + i;
            const int column = first_n + thread_n + 64 * in;
            if constexpr (kHasFirstSegmentMask<Epilogue>) {
              Epilogue::mask_first_segment(epilogue, row, column, c[0], c[1]);
              Epilogue::mask_first_segment(epilogue, row, column + 2, c[2], c[3]);
            }
          }
        }
      }
    };
    if (k_blocks > 0) fetch(0);
#pragma unroll 1
    for (int k_block = 0; k_block < k_blocks; ++k_block) {
      // The other buffer is still being read; this one was last read before the previous barrier.
      float* block_a = blocks + k_block % 2 * 2 * kBlockFloats;
      float* block_b = block_a + kBlockFloats;
      loader_a.store(block_a);
      loader_b.store(block_b);
      ptx::sync_threads();
      if (k_block + 1 < k_blocks) fetch(k_block + 1);
      if constexpr (kHasFirstSegmentMask<Epilogue>) {
        if (k_block == first_blocks) mask_first_segment();
      }
      multiply(block_a + thread_m, block_b + thread_n, accumulators);
    }
    if constexpr (kHasFirstSegmentMask<Epilogue>) {
      if (k_blocks == first_blocks) mask_first_segment();
    }

    ptx::sync_threads();  // the blocks become the staged tile
    const StagedTile<kTileN> staged{shared};
#pragma unroll
    for (int im = 0; im < 2; ++im) {
#pragma unroll
      for (int in = 0; in < 2; ++in) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&c)[4] = accumulators[im][in][i];
          const int row = thread_m + 64 * im + i, column = thread_n + 64 * in;
          staged.put(row, column, c[0], c[1]);
          staged.put(row, column + 2, c[2], c[3]);
        }
      }
    }
    ptx::sync_threads();
    finish_tile<Epilogue, kTileM, kTileN, kThreads>(epilogue, staged, row_scratch, first_m, first_n,
                                                    problem.m, problem.n, tile.n, thread);
  }

  static SL_DEVICE void multiply(const float* block_a, const float* block_b,
                                 float (&accumulators)[2][2][4][4]) {
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float4 a[2], b[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        a[i] = *reinterpret_cast<const float4*>(block_a + k * LoaderA::kPitch + 64 * i);
        b[i] = *reinterpret_cast<const float4*>(block_b + k * LoaderB::kPitch + 64 * i);
      }
#pragma unroll
      for (int im = 0; im < 2; ++im) {
        const float am[4] = {a[im].x, a[im].y, a[im].z, a[im].w};
#pragma unroll
        for (int in = 0; in < 2; ++in) {
          const float bn[4] = {b[in].x, b[in].y, b[in].z, b[in].w};
#pragma unroll
          for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              accumulators[im][in][i][j] = fmaf(am[i], bn[j], accumulators[im][in][i][j]);
            }
          }
        }
      }
    }
  }
};

}  // namespace sightline::cuda
