// Marks a function of both backends. Inlined always: on the CPU it is part of code for one
// instruction set and never a function of its own.
#pragma once

#ifdef __CUDACC__
#define SL_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define SL_HOST_DEVICE inline __attribute__((always_inline))
#endif
