// Sums in a fixed order: lanes of a warp by halves, warps of a block one after the other.
#pragma once

#include "cuda/ptx/thread.cuh"

namespace sightline::cuda {

SL_DEVICE float warp_sum(float value) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) value += ptx::shuffle_xor(value, mask);
  return value;
}

// The sum over a block of kThreads threads, in every thread. `scratch` holds kThreads / 32 floats.
template <int kThreads>
SL_DEVICE float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  ptx::sync_threads();  // an earlier sum may still be read
  if (ptx::thread_id() % 32 == 0) scratch[ptx::thread_id() / 32] = value;
  ptx::sync_threads();
  float sum = scratch[0];
#pragma unroll
  for (int warp = 1; warp < kThreads / 32; ++warp) sum += scratch[warp];
  return sum;
}

}  // namespace sightline::cuda
