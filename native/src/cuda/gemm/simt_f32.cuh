// C[m,n] = epilogue(A[m,k] B[n,k]^T [+ extra segments]) in plain fp32 (fused multiply-add, k in
// order), any GPU.
//
// One block of 256 threads computes one 128x128 tile; a thread has 2x2 blocks of 4x4 elements.
// Blocks of 16 k pass through registers into shared memory [k][128 + 4], double buffered.
// Row strides are multiples of 4 elements, addresses of 16 bytes, and a row is readable up to its
// length rounded up to 4; along k that remainder holds zeros.
#pragma once

#include "cuda/gemm/descriptor.h"
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
      const Philox4 drawn = dropout.draw(row, column / 4);
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

template <Major kMajorA, Major kMajorB, IsEpilogue Epilogue_>
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

    KWalk<LoaderA, LoaderB, Epilogue> walk(problem, split, tile, first_m, first_n, thread);
    float accumulators[2][2][4][4] = {};
    // Calls visit(row, column, x0, x1) for each pair of this thread's accumulators, from m0, n0 on.
    const auto for_each_pair = [&](int m0, int n0, const auto& visit) {
#pragma unroll
      for (int im = 0; im < 2; ++im) {
#pragma unroll
        for (int in = 0; in < 2; ++in) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float(&c)[4] = accumulators[im][in][i];
            const int row = m0 + thread_m + 64 * im + i, column = n0 + thread_n + 64 * in;
            visit(row, column, c[0], c[1]);
            visit(row, column + 2, c[2], c[3]);
          }
        }
      }
    };
    const auto mask_first_segment = [&](int k_block) {
      if constexpr (Epilogue::kMask == Mask::kFirstSegment) {
        if (k_block != walk.first_segment) return;
        for_each_pair(first_m, first_n, [&](int row, int column, float& x0, float& x1) {
          Epilogue::mask(epilogue).apply(row, column, x0, x1);
        });
      }
    };
    const auto fetch = [&](int k_block) {
      const int k0 = walk.seek(problem, first_m, first_n, k_block, thread);
      walk.a.fetch(k0);
      walk.b.fetch(k0);
      if constexpr (Epilogue::kMask == Mask::kOperandA) {
        const Dropout dropout = Epilogue::mask(epilogue);
        if (dropout.threshold != 0) walk.a.drop(k0, dropout);
      }
    };
    if (walk.blocks > 0) fetch(0);
#pragma unroll 1
    for (int k_block = 0; k_block < walk.blocks; ++k_block) {
      // The other buffer is still being read; this one was last read before the previous barrier.
      float* block_a = blocks + k_block % 2 * 2 * kBlockFloats;
      float* block_b = block_a + kBlockFloats;
      walk.a.store(block_a);
      walk.b.store(block_b);
      ptx::sync_threads();
      if (k_block + 1 < walk.blocks) fetch(k_block + 1);
      mask_first_segment(k_block);
      multiply(block_a + thread_m, block_b + thread_n, accumulators);
    }
    mask_first_segment(walk.blocks);

    ptx::sync_threads();  // the blocks become the staged tile
    const StagedTile<kTileN> staged{shared};
    for_each_pair(
        0, 0, [&](int row, int column, float x0, float x1) { staged.put(row, column, x0, x1); });
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
