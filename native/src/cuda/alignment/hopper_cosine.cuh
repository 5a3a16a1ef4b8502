#pragma once

#include "cuda/alignment/chain.cuh"
#include "cuda/gemm/hopper_launch.cuh"

namespace sightline::cuda {

template <class T>
void hopper_cosine_gemm(Stream& stream, const GemmPlan& plan, const GemmProblem& problem,
                        const typename CosineEpilogue<T>::Params& epilogue) {
  // Three stages: the cluster's sums take the room of the fourth.
  using Kernel = HopperGemm<T, 256, 1, 4, 3, Major::kK, Major::kK, CosineEpilogue<T>>;
  launch_hopper<Kernel, T, Major::kK, Major::kK>(stream, plan, problem, epilogue);
}

}  // namespace sightline::cuda
