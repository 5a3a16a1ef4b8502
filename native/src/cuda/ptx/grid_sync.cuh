// Blocks of a co-resident grid that wait for each other through counters in global memory. One
// thread of a block calls these, between barriers of the block.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

// What this block wrote is visible to who sees the new count; returns the count before.
SL_DEVICE uint32_t arrive(uint32_t* counter) {
  __threadfence();
  const uint32_t before = atomicAdd(counter, 1u);
  __threadfence();
  return before;
}

SL_DEVICE uint32_t read_acquire(const uint32_t* flag) {
  uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}

SL_DEVICE void write_release(uint32_t* flag, uint32_t value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

SL_DEVICE void wait_while(const uint32_t* flag, uint32_t old) {
  while (read_acquire(flag) == old) __nanosleep(64);
}

}  // namespace sightline::ptx
