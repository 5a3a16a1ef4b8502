#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/probe.h"

namespace sightline::cuda {
namespace {

// Ampere: the first with bf16 tensor cores and asynchronous copies.
constexpr int kMinimumMajor = 8;

// Stands for all kernels: whether the fat binary has code that device 0 can run.
__global__ void probe_kernel() {}

// Kernels that no GPU has run yet are not chosen unless asked for; benchmarks/gpu/STATUS.md says
// which and why. Goes away, GPU by GPU, as they are verified there.
bool unverified_allowed() {
  const char* value = std::getenv("SIGHTLINE_CUDA_UNVERIFIED");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

template <typename... Values>
sl_status unavailable(sl_capability* out, const char* format, Values... values) {
  std::snprintf(out->unavailability_cause, sizeof out->unavailability_cause, format, values...);
  cudaGetLastError();  // leave no sticky error behind for the host program
  return SL_OK;
}

}  // namespace

sl_status capabilities(sl_capability* out) {
  std::memset(out, 0, sizeof *out);
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return unavailable(out,
                       "no CUDA driver (libcuda.so.1 was not found); NVIDIA's driver brings it");
  }
  constexpr int kRuntime = CUDART_VERSION;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    return unavailable(out,
                       "the CUDA driver supports CUDA %d.%d, this build needs %d.%d; update it",
                       driver / 1000, driver % 1000 / 10, kRuntime / 1000, kRuntime % 1000 / 10);
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    return unavailable(out, "the CUDA driver reports no device");
  }
  if (status != cudaSuccess) {
    return unavailable(out, "the CUDA driver reports: %s", cudaGetErrorString(status));
  }
  out->device_count = count;
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, 0); error != cudaSuccess) {
    return unavailable(out, "device 0 cannot be queried: %s", cudaGetErrorString(error));
  }
  std::snprintf(out->implementation, sizeof out->implementation, "%.63s", properties.name);
  if (properties.major < kMinimumMajor) {
    return unavailable(out, "%.63s has compute capability %d.%d, expected at least %d.0",
                       properties.name, properties.major, properties.minor, kMinimumMajor);
  }
  cudaFuncAttributes attributes{};
  if (const cudaError_t error = cudaFuncGetAttributes(&attributes, probe_kernel);
      error != cudaSuccess) {
    return unavailable(out, "%.63s (compute capability %d.%d): %s", properties.name,
                       properties.major, properties.minor, cudaGetErrorString(error));
  }
  if (!unverified_allowed()) {
    return unavailable(
        out,
        "the kernels are not verified on this GPU (%.63s, compute capability %d.%d); "
        "set SIGHTLINE_CUDA_UNVERIFIED=1 to use them",
        properties.name, properties.major, properties.minor);
  }
  out->available = 1;
  out->native_bf16 = 1;
  return SL_OK;
}

}  // namespace sightline::cuda
