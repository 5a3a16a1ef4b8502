// The alignment kernels as host code for the emulator: the .cu files of src/cuda/alignment as they
// are.
#include "cuda/alignment/hopper_cosine.cuh"

#include "cuda/alignment/alignment_bf16.cu"
#include "cuda/alignment/alignment_fp32.cu"
