// Which kernels do the products.
#pragma once

namespace sightline::cuda {

enum class GemmPath {
  kAuto,
  kPortable,  // "portable": on a Hopper GPU, too
  kRowStore,  // "rowstore": on Hopper all results leave by rows, none by TMA
  kTf32,      // fp32 operands through tf32: asked for by a call's context, for those alone
};

// SIGHTLINE_CUDA_PATH in the environment, read once.
GemmPath gemm_path();

}  // namespace sightline::cuda
