// src/cuda/lora/merge.cu as host code for the emulator.
#include "cuda/lora/merge.cu"
