#include "cuda/runtime/memory.h"

namespace sightline::cuda {

cudaError_t device_allocate(int64_t bytes, void** out) {
  const cudaError_t error = cudaMalloc(out, static_cast<size_t>(bytes));
  if (error != cudaSuccess) cudaGetLastError();  // out of memory is not sticky
  return error;
}

void device_free(void* pointer) { cudaFree(pointer); }

cudaError_t device_wait() { return cudaDeviceSynchronize(); }

cudaError_t copy_to_host(void* host, const void* device, int64_t bytes) {
  const cudaError_t error = cudaDeviceSynchronize();
  if (error != cudaSuccess || bytes == 0) return error;
  return cudaMemcpy(host, device, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost);
}

cudaError_t is_capturing(cudaStream_t stream, bool* capturing) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t error = cudaStreamIsCapturing(stream, &status);
  *capturing = status != cudaStreamCaptureStatusNone;
  return error;
}

}  // namespace sightline::cuda
