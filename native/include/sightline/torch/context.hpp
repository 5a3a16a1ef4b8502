// Where a call runs: torch's current stream, number of threads, allocator and precision.
#ifndef SIGHTLINE_TORCH_CONTEXT_HPP
#define SIGHTLINE_TORCH_CONTEXT_HPP

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sightline/torch/tensor.hpp>

// A stream can be asked for its cudaStream_t without CUDA's headers from libtorch 2.14 on; before,
// c10's are needed, which are complete where libtorch was built for CUDA.
#if TORCH_VERSION_MAJOR < 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 10)
#error "sightline/torch.hpp needs libtorch 2.10 or later"
#elif TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 14
#define SIGHTLINE_TORCH_STREAM_HANDLE
#elif __has_include(<c10/cuda/impl/cuda_cmake_macros.h>) && __has_include(<cuda_runtime_api.h>)
#include <c10/cuda/CUDAStream.h>
#define SIGHTLINE_TORCH_CUDA_STREAM
#endif

namespace sightline {
namespace detail {

inline void* current_cuda_stream(c10::Device device) {
#if defined(SIGHTLINE_TORCH_STREAM_HANDLE)
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
#elif defined(SIGHTLINE_TORCH_CUDA_STREAM)
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
#else
  C10_THROW_ERROR(NotImplementedError,
                  "tensors on " + device.str() + " in a program compiled against libtorch " +
                      TORCH_VERSION + " without CUDA, expected libtorch 2.14 or one for CUDA");
#endif
}

class Context {
 public:
  explicit Context(const torch::Tensor& tensor) : like_(tensor) {
    if (tensor.is_cpu()) context_.num_threads = at::get_num_threads();
    if (!tensor.is_cuda()) return;
    guard_.reset_device(tensor.device());
    context_.stream = current_cuda_stream(tensor.device());
    const bool tf32 =
        at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL) ==
        at::Float32Precision::TF32;
    context_.fp32_precision = tf32 ? SL_FP32_TF32 : SL_FP32_IEEE;
  }

  const sl_context* get() const { return &context_; }

  // Checks `call(const sl_context*)`. On CUDA its workspace is of torch's allocator, which hands
  // memory on in the order of the current stream.
  template <class Call>
  void run(const Call& call) {
    torch::Tensor workspace;
    if (like_.is_cuda()) {
      uint64_t bytes = 0;
      context_.workspace_query = &bytes;
      check(call(&context_));
      context_.workspace_query = nullptr;
      workspace = torch::empty({static_cast<int64_t>(bytes)}, like_.options().dtype(torch::kByte));
      context_.workspace = bytes > 0 ? workspace.data_ptr() : nullptr;
      context_.workspace_bytes = bytes;
    }
    check(call(&context_));
  }

 private:
  torch::Tensor like_;
  sl_context context_{};
  c10::OptionalDeviceGuard guard_;
};

}  // namespace detail
}  // namespace sightline

#endif  // SIGHTLINE_TORCH_CONTEXT_HPP
