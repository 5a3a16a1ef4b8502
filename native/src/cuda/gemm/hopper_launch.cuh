// Launch of the Hopper kernel: tensor maps from operands, then a persistent grid of clusters.
#pragma once

#include "cuda/gemm/gemm.cuh"
#include "cuda/gemm/hopper_sm90.cuh"
#include "cuda/runtime/tensor_map.h"

namespace sightline::cuda {

template <class T>
void encode_operand(Stream& stream, const Operand& operand, Major major, int extent, int depth,
                    int box_rows, ptx::TensorMap* map) {
  TensorMapShape shape{};
  shape.data = operand.data;
  shape.box_rows = static_cast<uint32_t>(box_rows);
  shape.row_stride = operand.row_stride;
  if (major == Major::kK) {
    const uint32_t rows = operand.first_row + static_cast<uint32_t>(extent);
    shape.columns = static_cast<uint64_t>(depth);
    shape.rows = rows < operand.rows_per_batch ? rows : operand.rows_per_batch;
    shape.batches = (rows + operand.rows_per_batch - 1) / operand.rows_per_batch;
  } else {
    shape.columns = static_cast<uint64_t>(extent);
    shape.rows = static_cast<uint64_t>(depth);
    shape.batches = 1;
  }
  shape.batch_stride = shape.batches > 1 ? operand.batch_stride
                                         : operand.row_stride * static_cast<int64_t>(shape.rows);
  stream.fail(make_tensor_map(shape, map));
}

template <class T>
void encode_tma(Stream& stream, const Operand& operand, Major major, int extent, int depth,
                int box_rows, TmaOperand* out) {
  encode_operand<T>(stream, operand, major, extent, depth, box_rows, &out->map);
  out->first_row = operand.first_row;
  out->rows_per_batch = operand.rows_per_batch;
}

template <class Kernel, class T, Major kMajorA, Major kMajorB>
void launch_hopper(Stream& stream, const GemmPlan& plan, const GemmProblem& problem,
                   const typename Kernel::Epilogue::Params& epilogue) {
  using Epilogue = typename Kernel::Epilogue;
  typename Kernel::Params params{};
  encode_tma<T>(stream, problem.a, kMajorA, problem.m, problem.k, Kernel::kBoxRowsA, &params.a);
  encode_tma<T>(stream, problem.alternate_blocks != nullptr ? problem.a_alternate : problem.a,
                kMajorA, problem.m, problem.k, Kernel::kBoxRowsA, &params.a_alternate);
  encode_operand<T>(stream, problem.b, kMajorB, problem.n, problem.k, Kernel::kBoxRowsB, &params.b);
  params.alternate_blocks = problem.alternate_blocks;
  params.m = problem.m;
  params.n = problem.n;
  params.k = problem.k;
  params.k_blocks = ceil_div(problem.k, kBlockK);
  if constexpr (Epilogue::kFusedK) {
    params.extra.count = problem.extra_count;
    for (int t = 0; t < problem.extra_count; ++t) {
      const KSegment& segment = problem.extra[t];
      HopperSegment& out = params.extra.segment[t];
      encode_tma<T>(stream, segment.a, kMajorA, problem.m, segment.k, Kernel::kBoxRowsA, &out.a);
      encode_operand<T>(stream, segment.b, kMajorB, problem.n, segment.k, Kernel::kBoxRowsB,
                        &out.b);
      out.k = segment.k;
      params.k_blocks += ceil_div(segment.k, kBlockK);
    }
  }
  if constexpr (Kernel::kTma) {
    const auto encode = [&](const Operand& operand, TmaOperand* out) {
      if (operand.data == nullptr) return;
      encode_tma<T>(stream, operand, Major::kK, problem.m, problem.n, kSubtileM, out);
    };
    const Operand output = Epilogue::output(epilogue).operand();
    params.tma.used = !plan.store_rows && tma_reaches<T, Epilogue>(epilogue, problem.m, problem.n);
    params.tma.stores = output.data != nullptr;
    if (params.tma.used) {
      encode(output, &params.tma.output[0]);
      if constexpr (HasInput<Epilogue>)
        encode(Epilogue::input(epilogue).operand(), &params.tma.input);
      if constexpr (HasSecondOutput<Epilogue>) {
        encode(Epilogue::second_output(epilogue).operand(), &params.tma.output[1]);
      }
    }
  }
  params.epilogue = epilogue;
  stream.launch_clusters<Kernel>(params,
                                 typename Kernel::Tiles(problem.m, problem.n).checked_count());
}

template <class T, Major kMajorA, Major kMajorB, class Epilogue>
void hopper_gemm(Stream& stream, const GemmPlan& plan, const GemmProblem& problem,
                 const typename Epilogue::Params& epilogue) {
  if (plan.tile.columns == 256) {
    launch_hopper<HopperGemm<T, 256, 2, 1, 4, kMajorA, kMajorB, Epilogue>, T, kMajorA, kMajorB>(
        stream, plan, problem, epilogue);
  } else {
    launch_hopper<HopperGemm<T, 128, 2, 1, 6, kMajorA, kMajorB, Epilogue>, T, kMajorA, kMajorB>(
        stream, plan, problem, epilogue);
  }
}

}  // namespace sightline::cuda
