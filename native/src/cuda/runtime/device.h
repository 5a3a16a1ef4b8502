// What the launchers need to know of a GPU, read once per device and process.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/runtime/status.h"

namespace sightline::cuda {

struct Device {
  int id = 0;
  int sms = 0;
  int major = 0, minor = 0;

  // Kernels of sm_90a run on compute capability 9.0 alone.
  bool hopper() const { return major == 9 && minor == 0; }
};

// Null, with the error in *error, if the device cannot be asked.
const Device* device_of(int id, cudaError_t* error);

// The device that holds `pointer`.
cudaError_t device_of_pointer(const void* pointer, int* id);

// SIGHTLINE_CUDA_PDL=1: a kernel's set-up overlaps the end of the one before it (programmatic
// dependent launch, compute capability 9 and later). Off until measured.
bool overlapped_launches();

// Makes a device current for the calling thread and goes back to the one before.
class DeviceScope {
 public:
  explicit DeviceScope(int id);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  cudaError_t error() const { return error_; }

 private:
  int previous_ = -1;
  cudaError_t error_ = cudaSuccess;
};

// `body()`, a status, with the device current.
template <class Body>
sl_status on_device(int id, const Body& body) {
  const DeviceScope scope(id);
  SL_TRY(status_of(scope.error(), "cudaSetDevice"));
  return body();
}

// `body(const Device&)` with the device of `pointer` current, device 0 for null. `what` names the
// pointer in messages.
template <class Body>
sl_status on_device_of(const void* pointer, const char* what, const Body& body) {
  int id = 0;
  if (pointer != nullptr) SL_TRY(status_of(device_of_pointer(pointer, &id), what));
  return on_device(id, [&] {
    cudaError_t error = cudaSuccess;
    const Device* device = device_of(id, &error);
    return device != nullptr ? body(*device) : status_of(error, "device");
  });
}

}  // namespace sightline::cuda
