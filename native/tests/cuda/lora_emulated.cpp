// The LoRA kernels as host code for the emulator: the .cu files of src/cuda/lora as they are.
#include "cuda/gemm/hopper_launch.cuh"

#include "cuda/lora/lora_bf16.cu"
#include "cuda/lora/lora_fp32.cu"
#include "cuda/lora/merge.cu"
