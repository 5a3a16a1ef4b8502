// The LoRA products with bf16 operands for sm_90a, the only target this file is compiled for.
#include "cuda/gemm/hopper_launch.cuh"
#include "cuda/lora/epilogues.cuh"

namespace sightline::cuda {

template void hopper_gemm<Bf16, Major::kK, Major::kK, LoraEpilogue>(Stream&, const GemmPlan&,
                                                                    const GemmProblem&,
                                                                    const LoraEpilogue::Params&);
template void hopper_gemm<Bf16, Major::kK, Major::kMN, LoraEpilogue>(Stream&, const GemmPlan&,
                                                                     const GemmProblem&,
                                                                     const LoraEpilogue::Params&);

}  // namespace sightline::cuda
