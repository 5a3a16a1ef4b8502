#include "cuda/runtime/workspace.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace sightline::cuda {

cudaError_t cached_workspace(int device, cudaStream_t stream, int64_t bytes, void** out) {
  struct Buffer {
    void* data = nullptr;
    int64_t bytes = 0;
  };
  static std::mutex mutex;
  static auto* buffers = new std::map<std::pair<int, cudaStream_t>, Buffer>;  // outlives all
  const std::lock_guard<std::mutex> lock(mutex);
  Buffer& buffer = (*buffers)[{device, stream}];
  if (buffer.bytes < bytes) {
    cudaStreamCaptureStatus capture{};
    cudaError_t error = cudaStreamIsCapturing(stream, &capture);
    if (error != cudaSuccess) return error;
    if (capture != cudaStreamCaptureStatusNone) return cudaErrorStreamCaptureUnsupported;
    const int64_t size = std::max(bytes, 2 * buffer.bytes);
    void* data = nullptr;
    error = cudaMalloc(&data, static_cast<size_t>(size));
    if (error != cudaSuccess && size > bytes) {
      cudaGetLastError();
      error = cudaMalloc(&data, static_cast<size_t>(bytes));
      if (error == cudaSuccess) buffer.bytes = bytes;
    } else if (error == cudaSuccess) {
      buffer.bytes = size;
    }
    if (error != cudaSuccess) {
      cudaGetLastError();  // out of memory is not sticky
      return error;
    }
    buffer.data = data;
  }
  *out = buffer.data;
  return cudaSuccess;
}

}  // namespace sightline::cuda
