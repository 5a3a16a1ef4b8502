// Launches of kernel structs: a struct has Params, kThreads, kMinBlocks, kSharedBytes and a static
// run(const Params&). Everything goes to one stream; the first error stays and later launches do
// nothing, so a chain is written without a check per line.
#pragma once

#include <cuda_runtime.h>

#include <atomic>

#include "cuda/runtime/device.h"
#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

// Parameters in constant bank: tensor maps must be read from there.
template <class Kernel>
__global__ __launch_bounds__(Kernel::kThreads,
                             Kernel::kMinBlocks) void kernel_entry(const __grid_constant__
                                                                   typename Kernel::Params params) {
  Kernel::run(params);
}

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
  void launch(const typename Kernel::Params& params, int64_t blocks) {
    static_assert(sizeof(typename Kernel::Params) <= 4096, "kernel parameters end at 4 KB");
    check_count(blocks);
    if (error_ != cudaSuccess || blocks == 0) return;
    allow_shared_memory<Kernel>();
    if (error_ != cudaSuccess) return;
    cudaLaunchAttribute attributes[1];
    cudaLaunchConfig_t config = configuration<Kernel>(attributes, 0);
    config.gridDim = {static_cast<unsigned>(blocks), 1, 1};
    fail(cudaLaunchKernelEx(&config, kernel_entry<Kernel>, params));
  }

  // A persistent kernel of clusters: at most `work` of them, and no more than fit at once.
  template <class Kernel>
  void launch_clusters(const typename Kernel::Params& params, int64_t work) {
    static_assert(sizeof(typename Kernel::Params) <= 4096, "kernel parameters end at 4 KB");
    check_count(work);
    if (error_ != cudaSuccess || work == 0) return;
    allow_shared_memory<Kernel>();
    if (error_ != cudaSuccess) return;
    cudaLaunchAttribute attributes[2];
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {Kernel::kCluster, 1, 1};
    cudaLaunchConfig_t config = configuration<Kernel>(attributes, 1);
    config.gridDim = {Kernel::kCluster, 1, 1};
    const int resident = resident_clusters<Kernel>(config);
    if (error_ != cudaSuccess) return;
    config.gridDim.x =
        static_cast<unsigned>((work < resident ? work : resident) * Kernel::kCluster);
    fail(cudaLaunchKernelEx(&config, kernel_entry<Kernel>, params));
  }

  // Blocks that wait for each other: as many as fit at once, at most `most`. All are resident, or
  // the launch fails.
  template <class Kernel>
  void launch_cooperative(const typename Kernel::Params& params, int most) {
    static_assert(sizeof(typename Kernel::Params) <= 4096, "kernel parameters end at 4 KB");
    if (error_ != cudaSuccess || most == 0) return;
    allow_shared_memory<Kernel>();
    int per_sm = 0;
    if (error_ == cudaSuccess) {
      fail(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, kernel_entry<Kernel>,
                                                         Kernel::kThreads, Kernel::kSharedBytes));
    }
    if (error_ == cudaSuccess && per_sm < 1) fail(cudaErrorLaunchOutOfResources);
    if (error_ != cudaSuccess) return;
    const int resident = per_sm * device_->sms;
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = {static_cast<unsigned>(most < resident ? most : resident), 1, 1};
    config.blockDim = {Kernel::kThreads, 1, 1};
    config.dynamicSmemBytes = Kernel::kSharedBytes;
    config.stream = handle_;
    config.attrs = &attribute;
    config.numAttrs = 1;
    fail(cudaLaunchKernelEx(&config, kernel_entry<Kernel>, params));
  }

 private:
  // Kernels count blocks and tiles in 32 bits.
  void check_count(int64_t count) {
    if (count > INT32_MAX) fail(cudaErrorInvalidConfiguration);
  }

  // Adds programmatic dependent launch to the first `count` attributes where it is asked for.
  template <class Kernel>
  cudaLaunchConfig_t configuration(cudaLaunchAttribute* attributes, unsigned count) const {
    if (device_->major >= 9 && overlapped_launches()) {
      attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attributes[count].val.programmaticStreamSerializationAllowed = 1;
      ++count;
    }
    cudaLaunchConfig_t config{};
    config.blockDim = {Kernel::kThreads, 1, 1};
    config.dynamicSmemBytes = Kernel::kSharedBytes;
    config.stream = handle_;
    config.attrs = attributes;
    config.numAttrs = count;
    return config;
  }

  template <class Kernel>
  void allow_shared_memory() {
    if constexpr (Kernel::kSharedBytes > 48 * 1024) {
      static std::atomic<uint64_t> allowed{0};
      const uint64_t bit = uint64_t{1} << (device_->id % 64);
      if (allowed.load(std::memory_order_relaxed) & bit && device_->id < 64) return;
      fail(cudaFuncSetAttribute(kernel_entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                Kernel::kSharedBytes));
      if (error_ == cudaSuccess) allowed.fetch_or(bit, std::memory_order_relaxed);
    }
  }

  template <class Kernel>
  int resident_clusters(const cudaLaunchConfig_t& config) {
    static std::atomic<int> known[64];
    std::atomic<int>* cached = device_->id < 64 ? &known[device_->id] : nullptr;
    if (cached != nullptr && cached->load(std::memory_order_relaxed) > 0) {
      return cached->load(std::memory_order_relaxed);
    }
    int clusters = 0;
    fail(cudaOccupancyMaxActiveClusters(&clusters, kernel_entry<Kernel>, &config));
    if (error_ == cudaSuccess && clusters < 1) fail(cudaErrorLaunchOutOfResources);
    if (cached != nullptr) cached->store(clusters, std::memory_order_relaxed);
    return clusters;
  }

  const Device* device_;
  cudaStream_t handle_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace sightline::cuda
