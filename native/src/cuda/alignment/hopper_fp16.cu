// The chain's products with fp16 operands for sm_90a, the only target this file is compiled for.
#include "cuda/alignment/hopper_cosine.cuh"

namespace sightline::cuda {

#define SL_PRODUCT(kA, kB, Epilogue)                               \
  template void hopper_gemm<Fp16, Major::kA, Major::kB, Epilogue>( \
      Stream&, const GemmPlan&, const GemmProblem&, const typename Epilogue::Params&)

SL_PRODUCT(kK, kK, HiddenEpilogue<Fp16>);
SL_PRODUCT(kK, kK, BiasEpilogue<Fp16>);
SL_PRODUCT(kK, kK, SiluBackwardEpilogue<Fp16>);
SL_PRODUCT(kK, kK, SiluBackwardSumsEpilogue<Fp16>);
SL_PRODUCT(kK, kK, LayerNormBackwardEpilogue);
SL_PRODUCT(kMN, kMN, StoreEpilogue);

template void hopper_cosine_gemm<Fp16>(Stream&, const GemmPlan&, const GemmProblem&,
                                       const CosineEpilogue<Fp16>::Params&);

}  // namespace sightline::cuda
