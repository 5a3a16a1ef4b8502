#include "cuda/runtime/memory.h"

namespace sightline::cuda {

cudaError_t device_allocate(int64_t bytes, void** out) {
  const cudaError_t error = cudaMalloc(out, static_cast<size_t>(bytes));
  if (error != cudaSuccess) cudaGetLastError();  // out of memory is not sticky
  return error;
}

void device_free(void* pointer) { cudaFree(pointer); }

cudaError_t device_wait() { return cudaDeviceSynchronize(); }

}  // namespace sightline::cuda
