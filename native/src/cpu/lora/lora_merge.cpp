// weight += scale B A in place, one product over r columns; scale < 0 takes it off again.
//
//   weight [N,K] fp32 or bf16, A [r,K], B [N,r], products and the sum with the weight in fp32,
//   rounded once. The product has the same bits when merged and when unmerged, so a return errs by
//   its two roundings alone: in fp32 and in bf16 by nearest rounding at most 1 ulp of the larger of
//   |weight| and |weight + delta|.
#include "cpu/backend.h"
#include "cpu/elementwise/elementwise.h"
#include "cpu/gemm/gemm.h"
#include "cpu/isa.h"
#include "cpu/workspace.h"

namespace sightline::cpu {
namespace {

struct StochasticEpilogue {
  const MergeCall* call;
  const ElementwiseKernels* elementwise;
};

void add_stochastic_tile(const void* user, const Kernels&, const GemmTile& tile) {
  const auto& [call, elementwise] = *static_cast<const StochasticEpilogue*>(user);
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int64_t row = tile.row + i;
    uint16_t* weight =
        static_cast<uint16_t*>(call->weight.data) + row * call->weight.row_stride + tile.column;
    elementwise->add_stochastic(weight, tile.data + i * tile.ld, call->scale, tile.columns,
                                call->seed, static_cast<uint64_t>(row),
                                static_cast<uint64_t>(tile.column));
  }
}

}  // namespace

sl_status lora_merge(const sl_context& context, const MergeCall& call) {
  const Kernels* kernels = nullptr;
  SL_TRY(require_kernels(&kernels));
  const int threads = thread_count(context);
  void* workspace = nullptr;
  if (const sl_status status = acquire_workspace(
          context, gemm_workspace_bytes(*kernels, DType::kFloat32, threads), &workspace);
      status != SL_OK) {
    return status;
  }
  KSegment segment;
  segment.a = operand(call.b, true);
  segment.b = operand(call.a, false);
  segment.k = call.a.rows;

  Gemm problem;
  problem.m = call.weight.rows;
  problem.n = call.weight.cols;
  problem.compute = DType::kFloat32;
  problem.segments = &segment;
  problem.segment_count = 1;

  StoreEpilogue store;
  store.out = operand(call.weight, true).view;
  store.scale = call.scale;
  store.accumulate = true;
  const StochasticEpilogue stochastic{&call, &elementwise_kernels(kernels->isa)};
  if (call.stochastic && call.weight.dtype == DType::kBFloat16) {
    problem.epilogue = add_stochastic_tile;
    problem.user = &stochastic;
  } else {
    problem.epilogue = store_tile;
    problem.user = &store;
  }
  gemm(*kernels, problem, workspace, threads);
  return SL_OK;
}

}  // namespace sightline::cpu
