// The probe's products for sm_90a, the only target this file is compiled for.
#include "cuda/gemm/hopper_launch.cuh"
#include "gemm_probe.cuh"

namespace sightline::cuda {

#define SL_PRODUCT(T, kA, kB)                                        \
  template void hopper_gemm<T, Major::kA, Major::kB, StoreEpilogue>( \
      Stream&, const GemmPlan&, const GemmProblem&, const StoreEpilogue::Params&)

SL_PRODUCT(Bf16, kK, kK);
SL_PRODUCT(Bf16, kK, kMN);
SL_PRODUCT(Bf16, kMN, kMN);

}  // namespace sightline::cuda
