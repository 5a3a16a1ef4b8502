// Device memory outside of hot calls.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "common/arena.h"

namespace sightline::cuda {

cudaError_t device_allocate(int64_t bytes, void** out);
void device_free(void* pointer);

// Waits for everything on the current device.
cudaError_t device_wait();

// Waits for everything on the current device, then copies.
cudaError_t copy_to_host(void* host, const void* device, int64_t bytes);

// Whether work on the stream is being recorded into a graph instead of executed.
cudaError_t is_capturing(cudaStream_t stream, bool* capturing);

// Aligned for vectors and TMA.
using Arena = AlignedArena<256>;

}  // namespace sightline::cuda
