// Device memory outside of hot calls.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace sightline::cuda {

cudaError_t device_allocate(int64_t bytes, void** out);
void device_free(void* pointer);

// Waits for everything on the current device.
cudaError_t device_wait();

// Waits for everything on the current device, then copies.
cudaError_t copy_to_host(void* host, const void* device, int64_t bytes);

// Whether work on the stream is being recorded into a graph instead of executed.
cudaError_t is_capturing(cudaStream_t stream, bool* capturing);

// Hands out consecutive pieces, aligned for vectors and TMA. A null base only measures:
// lay out once with null for the size, once more with the memory.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}

  template <class T>
  T* take(int64_t count) {
    T* piece = base_ != nullptr ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return piece;
  }
  int64_t used() const { return used_; }
  // Goes back to an earlier used(), so that what follows shares memory with what is there.
  void rewind(int64_t used) { used_ = used; }

 private:
  char* base_;
  int64_t used_ = 0;
};

}  // namespace sightline::cuda
