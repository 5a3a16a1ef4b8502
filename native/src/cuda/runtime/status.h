// From CUDA's errors to the ABI's status and message.
#pragma once

#include <cuda_runtime.h>

#include "api/backend.h"

namespace sightline::cuda {

sl_status status_of(cudaError_t error, const char* what);

// GEMM kernels to use: SIGHTLINE_CUDA_PATH=portable keeps a Hopper GPU on the portable ones.
bool portable_forced();

}  // namespace sightline::cuda
