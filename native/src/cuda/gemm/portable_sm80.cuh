// C[m,n] = epilogue(A[m,k] B[n,k]^T [+ extra segments]) on tensor cores, fp32 accumulation, sm_80
// and later. 16-bit operands by mma.m16n8k16; fp32 operands, rounded to tf32, by mma.m16n8k8.
//
// One block of 8 warps computes one 128x128 tile (a warp 64x32). Loads run kStages - 1 blocks of
// 128 bytes of k ahead with cp.async; ldmatrix feeds the products. After the last k the
// accumulators are staged in the same shared memory and leave by rows (epilogue.cuh). Shared
// memory: kStages x (A 16 KB + B 16 KB), then one float4 per row. Tiles of 64 columns (a warp
// 32x32) serve products with few columns, whose k is split.
//
// TF32: |tf32(x) - x| <= 2^-11 |x|, so a sum of products errs by at most about 2^-10 sum |a b|.
// Each warp rounds what it has loaded (round to nearest, ties away), so memory keeps fp32. Operands
// must be as simt_f32.cuh wants them.
#pragma once

#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/fragments.h"
#include "cuda/gemm/stage_loader.cuh"
#include "cuda/gemm/tile_grid.cuh"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/load_shared.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

template <class T, Major kMajorA, Major kMajorB, IsEpilogue Epilogue_, int kTileN_ = 128>
struct PortableGemm
    : TileGrid<PortableGemm<T, kMajorA, kMajorB, Epilogue_, kTileN_>, Epilogue_, 128, kTileN_> {
  using Epilogue = Epilogue_;
  static constexpr int kTileM = 128, kTileN = kTileN_, kDepth = kStageDepth<T>;
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

  static SL_DEVICE void run_tile(const GemmProblem& problem,
                                 const typename Epilogue::Params& epilogue, TileIndex tile,
                                 int split) {
    const int first_m = tile.m * kTileM, first_n = tile.n * kTileN;
    const int thread = ptx::thread_id(), lane = thread % 32, warp = thread / 32;
    const int warp_m = warp % (kTileM / kWarpM) * kWarpM;
    const int warp_n = warp / (kTileM / kWarpM) * kWarpN;

    uint8_t* shared = ptx::shared_memory();
    const uint32_t stages = ptx::shared_address(shared);
    float4* row_scratch = reinterpret_cast<float4*>(shared + kStages * kStageBytes);
    if (thread < kTileM) {
      init_row_scratch<Epilogue>(epilogue, row_scratch + thread, first_m + thread, problem.m);
    }

    KWalk<LoaderA, LoaderB, Epilogue> walk(problem, split, tile, first_m, first_n, thread);
    const auto load = [&](int k_block) {
      const int k0 = walk.seek(problem, first_m, first_n, k_block, thread);
      const uint32_t stage = stages + k_block % kStages * kStageBytes;
      walk.a.load(stage, k0);
      walk.b.load(stage + LoaderA::kBytes, k0);
    };

    [[maybe_unused]] SegmentSteps<kDepth> segment(problem.k);
    float accumulators[kWarpM / 16][kWarpN / 8][4] = {};
    // Calls visit(row, column, x0, x1) for each pair of this thread's accumulators, from m0, n0 on.
    const auto for_each_pair = [&](int m0, int n0, const auto& visit) {
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
        for (int j = 0; j < kWarpN / 8; ++j) {
          const Position at = mma_accumulator(lane, 0);
          const int row = m0 + warp_m + 16 * i + at.row;
          const int column = n0 + warp_n + 8 * j + at.column;
          float(&c)[4] = accumulators[i][j];
          visit(row, column, c[0], c[1]);
          visit(row + 8, column, c[2], c[3]);
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
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < walk.blocks) load(i);
      ptx::cp_async_commit();  // an empty group too: the count of groups stands for the block
    }
#pragma unroll 1
    for (int k_block = 0; k_block < walk.blocks; ++k_block) {
      ptx::cp_async_wait<kStages - 2>();  // this block has landed, for this thread
      if constexpr (Epilogue::kMask == Mask::kOperandA) {
        const Dropout dropout = Epilogue::mask(epilogue);
        if (dropout.threshold != 0) {
          walk.a.drop(shared + k_block % kStages * kStageBytes, (walk.begin + k_block) * kDepth,
                      dropout);
        }
      }
      ptx::sync_threads();  // for all; and all are done with the block before it
      mask_first_segment(k_block);
      if (k_block + kStages - 1 < walk.blocks) load(k_block + kStages - 1);
      ptx::cp_async_commit();
      const uint32_t stage = stages + k_block % kStages * kStageBytes;
      int steps = 4;
      if constexpr (Epilogue::kFusedK) {
        if (k_block == segment.end) segment.next(problem.extra[segment.index].k);
        steps = segment.steps(k_block);
      }
      multiply(stage, stage + LoaderA::kBytes, steps, warp_m, warp_n, lane, accumulators);
    }
    mask_first_segment(walk.blocks);

    ptx::cp_async_wait<0>();
    ptx::sync_threads();  // the stages become the staged tile
    const StagedTile<kTileN> staged{shared};
    for_each_pair(
        0, 0, [&](int row, int column, float x0, float x1) { staged.put(row, column, x0, x1); });
    ptx::sync_threads();
    finish_tile<Epilogue, kTileM, kTileN, kThreads>(epilogue, staged, row_scratch, first_m, first_n,
                                                    problem.m, problem.n, tile.n, thread);
  }

  // The four k-steps of a stage, 32 bytes of k each; at the end of a segment, those that are not
  // empty.
  static SL_DEVICE void multiply(uint32_t tile_a, uint32_t tile_b, int steps, int warp_m,
                                 int warp_n, int lane,
                                 float (&accumulators)[kWarpM / 16][kWarpN / 8][4]) {
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) {
      if (kk >= steps) break;
      uint32_t a[kWarpM / 16][4], b[kWarpN / 16][4];
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) load_a(tile_a, warp_m + 16 * i, kk, lane, a[i]);
#pragma unroll
      for (int j = 0; j < kWarpN / 16; ++j) load_b(tile_b, warp_n + 16 * j, kk, lane, b[j]);
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
        for (int j = 0; j < kWarpN / 8; ++j) {
          const uint32_t b0 = b[j / 2][2 * (j % 2)], b1 = b[j / 2][2 * (j % 2) + 1];
          if constexpr (sizeof(T) == 4) {
            ptx::mma_m16n8k8_tf32(accumulators[i][j], a[i], b0, b1);
          } else {
            ptx::mma_m16n8k16<T>(accumulators[i][j], a[i], b0, b1);
          }
        }
      }
    }
  }

  // 16 rows of A from m0, of one k-step.
  static SL_DEVICE void load_a(uint32_t tile, int m0, int kk, int lane, uint32_t (&a)[4]) {
    if constexpr (kMajorA == Major::kK) {
      const MatrixRow at = a_k_major(lane, m0, kk);
      ptx::ldmatrix_x4(a, tile + LoaderA::offset(at.row, at.chunk));
    } else if constexpr (sizeof(T) == 2) {
      const MatrixRow at = a_mn_major(lane, m0, kk);
      ptx::ldmatrix_x4_trans(a, tile + LoaderA::offset(at.row, at.chunk));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Position at = tf32_a(lane, i);
        a[i] =
            ptx::load_shared_b32(tile + LoaderA::element_offset(8 * kk + at.column, m0 + at.row));
      }
    }
    round_operands(a);
  }

  // 16 columns of B from n0, of one k-step.
  static SL_DEVICE void load_b(uint32_t tile, int n0, int kk, int lane, uint32_t (&b)[4]) {
    if constexpr (kMajorB == Major::kK) {
      const MatrixRow at = b_k_major(lane, n0, kk);
      ptx::ldmatrix_x4(b, tile + LoaderB::offset(at.row, at.chunk));
    } else if constexpr (sizeof(T) == 2) {
      const MatrixRow at = b_mn_major(lane, n0, kk);
      ptx::ldmatrix_x4_trans(b, tile + LoaderB::offset(at.row, at.chunk));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Position at = tf32_b(lane, i % 2);
        b[i] = ptx::load_shared_b32(
            tile + LoaderB::element_offset(8 * kk + at.row, n0 + at.column + 8 * (i / 2)));
      }
    }
    round_operands(b);
  }

  static SL_DEVICE void round_operands(uint32_t (&words)[4]) {
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 4; ++i) words[i] = ptx::round_tf32(words[i]);
    }
  }
};

}  // namespace sightline::cuda
