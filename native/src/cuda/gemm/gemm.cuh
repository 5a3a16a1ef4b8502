// Choice and launch of a product C[m,n] = epilogue(A[m,k] B[n,k]^T).
#pragma once

#include "cuda/gemm/cost.h"
#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/portable_sm80.cuh"
#include "cuda/gemm/problem.h"
#include "cuda/gemm/simt_f32.cuh"
#include "cuda/runtime/launch.cuh"
#include "cuda/runtime/path.h"
#include "sightline/sightline.h"

namespace sightline::cuda {

// What the environment and, for fp32, a call's context ask for.
template <class T>
GemmPath gemm_path(const sl_context& context) {
  if (sizeof(T) == 2) return gemm_path();
  return context.fp32_precision == SL_FP32_TF32 ? GemmPath::kTf32 : GemmPath::kAuto;
}

// Decided before the launch, because epilogues that leave a value per row and tile need to know.
struct GemmPlan {
  bool hopper = false;
  bool store_rows = false;  // on Hopper, even where TMA could store
  bool tf32 = false;
  HopperTile tile{};
  int tiles_n = 0;
};

// Whether TMA can read the operand in boxes of 128 rows.
inline bool boxable(const Operand& operand, int rows) {
  const bool one_batch = operand.first_row + static_cast<uint32_t>(rows) <= operand.rows_per_batch;
  return one_batch || (operand.rows_per_batch % 128 == 0 && operand.first_row % 128 == 0);
}

template <class T>
GemmPlan plan_gemm(const Device& device, GemmPath path, const GemmProblem& problem) {
  GemmPlan plan;
  plan.hopper = sizeof(T) == 2 && device.hopper() && path != GemmPath::kPortable && problem.m > 0 &&
                problem.n > 0 && problem.k > 0 && boxable(problem.a, problem.m) &&
                boxable(problem.b, problem.n);
  plan.tf32 = sizeof(T) == 4 && path == GemmPath::kTf32;
  int k = problem.k;
  for (int t = 0; t < problem.extra_count; ++t) {
    const KSegment& segment = problem.extra[t];
    plan.hopper = plan.hopper && boxable(segment.a, problem.m) && boxable(segment.b, problem.n);
    k += segment.k;
  }
  plan.store_rows = path == GemmPath::kRowStore;
  if (plan.hopper) {
    plan.tile = pick_hopper_tile(problem.m, problem.n, k, device.sms);
    plan.tiles_n = ceil_div(problem.n, plan.tile.columns);
  } else {
    plan.tiles_n = ceil_div(problem.n, 128);
  }
  return plan;
}

// Defined in hopper_launch.cuh, instantiated in sources that are compiled for sm_90a alone.
template <class T, Major kMajorA, Major kMajorB, class Epilogue>
void hopper_gemm(Stream& stream, const GemmPlan& plan, const GemmProblem& problem,
                 const typename Epilogue::Params& epilogue);

template <class Kernel>
void launch_gemm(Stream& stream, const GemmProblem& problem,
                 const typename Kernel::Epilogue::Params& epilogue) {
  const auto params = Kernel::params(problem, epilogue);
  stream.launch<Kernel>(params, Kernel::blocks(params));
}

// On the portable kernels; kTileN is for tensor cores.
template <class T, Major kMajorA, Major kMajorB, class Epilogue, int kTileN = 128>
void portable_gemm(Stream& stream, bool tf32, const GemmProblem& problem,
                   const typename Epilogue::Params& epilogue) {
  if (sizeof(T) == 2 || tf32) {
    launch_gemm<PortableGemm<T, kMajorA, kMajorB, Epilogue, kTileN>>(stream, problem, epilogue);
  } else if constexpr (sizeof(T) == 4) {
    launch_gemm<SimtGemm<kMajorA, kMajorB, Epilogue>>(stream, problem, epilogue);
  }
}

template <class T, Major kMajorA, Major kMajorB, class Epilogue>
void gemm(Stream& stream, const GemmPlan& plan, const GemmProblem& problem,
          const typename Epilogue::Params& epilogue) {
  if constexpr (sizeof(T) == 2) {
    if (plan.hopper)
      return hopper_gemm<T, kMajorA, kMajorB, Epilogue>(stream, plan, problem, epilogue);
  }
  portable_gemm<T, kMajorA, kMajorB, Epilogue>(stream, plan.tf32, problem, epilogue);
}

}  // namespace sightline::cuda
