// Emulated: device.cpp, memory.cpp, path.cpp, workspace.cpp and status.cpp of
// native/src/cuda/runtime.
#include <cstdlib>
#include <cstring>
#include <map>

#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/path.h"
#include "cuda/runtime/status.h"
#include "cuda/runtime/workspace.h"
#include "emulated_runtime.h"

namespace emu {

sightline::cuda::Device& device() {
  static sightline::cuda::Device instance = kHopper;
  return instance;
}

int& device_waits() {
  static int count = 0;
  return count;
}

bool& capturing() {
  static bool value = false;
  return value;
}

sightline::cuda::GemmPath& gemm_path() {
  static auto value = sightline::cuda::GemmPath::kAuto;
  return value;
}

}  // namespace emu

namespace sightline::cuda {

const Device* device_of(int, cudaError_t* error) {
  *error = cudaSuccess;
  return &emu::device();
}

cudaError_t device_of_pointer(const void*, int* id) {
  *id = 0;
  return cudaSuccess;
}

DeviceScope::DeviceScope(int) {}
DeviceScope::~DeviceScope() {}

cudaError_t device_allocate(int64_t bytes, void** out) {
  *out = std::aligned_alloc(256, static_cast<size_t>((bytes + 255) / 256 * 256));
  std::memset(*out, 0xFF, static_cast<size_t>(bytes));
  return cudaSuccess;
}
void device_free(void* pointer) { std::free(pointer); }
cudaError_t device_wait() {
  ++emu::device_waits();
  return cudaSuccess;
}
cudaError_t copy_to_host(void* host, const void* device, int64_t bytes) {
  device_wait();
  std::memcpy(host, device, static_cast<size_t>(bytes));
  return cudaSuccess;
}
cudaError_t is_capturing(cudaStream_t, bool* capturing) {
  *capturing = emu::capturing();
  return cudaSuccess;
}

// A fresh, poisoned buffer every time: nothing may be left over from an earlier call.
cudaError_t cached_workspace(int, cudaStream_t, int64_t bytes, void** out) {
  static void* buffer = nullptr;
  std::free(buffer);
  const cudaError_t error = device_allocate(bytes, &buffer);
  *out = buffer;
  return error;
}

sl_status status_of(cudaError_t error, const char*) {
  return error == cudaSuccess ? SL_OK : SL_INTERNAL;
}
GemmPath gemm_path() { return emu::gemm_path(); }

}  // namespace sightline::cuda

namespace sightline {

// The API layer's own, in tests that link it.
__attribute__((weak)) sl_status set_error(sl_status status, const char*, ...) { return status; }

}  // namespace sightline
