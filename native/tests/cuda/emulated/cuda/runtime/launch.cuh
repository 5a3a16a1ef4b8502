// Emulated: native/src/cuda/runtime/launch.cuh.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/runtime/device.h"
#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::cuda {

class Stream {
 public:
  Stream(const Device& device, cudaStream_t handle) : device_(&device), handle_(handle) {}

  const Device& device() const { return *device_; }
  cudaStream_t get() const { return handle_; }
  cudaError_t error() const { return error_; }
  void fail(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }

  template <class Kernel>
  void launch(const typename Kernel::Params& params, int blocks) {
    if (error_ != cudaSuccess || blocks == 0) return;
    emu::machine().streams.insert(handle_);
    emu::run_grid(blocks, 1, Kernel::kThreads, Kernel::kSharedBytes, [&] { Kernel::run(params); });
  }

  template <class Kernel>
  void launch_clusters(const typename Kernel::Params& params, int work) {
    if (error_ != cudaSuccess || work == 0) return;
    emu::machine().streams.insert(handle_);
    const int clusters = std::min(work, emu::machine().resident_clusters);
    emu::run_grid(clusters * Kernel::kCluster, Kernel::kCluster, Kernel::kThreads,
                  Kernel::kSharedBytes, [&] { Kernel::run(params); });
  }

  template <class Kernel>
  void launch_cooperative(const typename Kernel::Params& params, int most) {
    if (error_ != cudaSuccess || most == 0) return;
    emu::machine().streams.insert(handle_);
    const int blocks = std::min(most, 3);
    emu::run_grid(blocks, blocks, Kernel::kThreads, Kernel::kSharedBytes,
                  [&] { Kernel::run(params); });
  }

 private:
  const Device* device_;
  cudaStream_t handle_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace sightline::cuda
