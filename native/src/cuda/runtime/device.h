// What the launchers need to know of a GPU, read once per device and process.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

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

}  // namespace sightline::cuda
