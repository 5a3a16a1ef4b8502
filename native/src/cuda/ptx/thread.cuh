// Who am I, and the barriers and shuffles of a block. Kernels use these names, not the built-in
// variables, so that the host emulation of the tests can supply its own.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE int thread_id() { return static_cast<int>(threadIdx.x); }
SL_DEVICE int block_id() { return static_cast<int>(blockIdx.x); }
SL_DEVICE int block_count() { return static_cast<int>(gridDim.x); }

// The same value in all lanes, known as such to the compiler: roles branch on it.
SL_DEVICE int warp_id() { return __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 32, 0); }

SL_DEVICE void sync_threads() { __syncthreads(); }
SL_DEVICE void sync_warp() { __syncwarp(); }

// Barrier among `count` threads of the block, ids 1 to 15; 0 is sync_threads(). An id in a register
// makes ptxas set all 16 aside, which costs nothing where one block fills a multiprocessor.
SL_DEVICE void named_barrier(int id, int count) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory");
}

SL_DEVICE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// The dynamic shared memory. Swizzles and descriptors assume that it starts on 1024 bytes.
SL_DEVICE uint8_t* shared_memory() {
  extern __shared__ __align__(1024) uint8_t dynamic_shared[];
  return dynamic_shared;
}

// Shared-window address of a pointer into shared memory.
SL_DEVICE uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

SL_DEVICE void trap() { asm volatile("trap;"); }

}  // namespace sightline::ptx
