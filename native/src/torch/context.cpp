// Where a call runs: torch's stream, device, allocator and threads.
#include <stdexcept>

#include "torch/values.h"

namespace sightline::torch_ops {

std::atomic<int32_t>& fp32_precision() {
  static std::atomic<int32_t> precision{SL_FP32_IEEE};
  return precision;
}

Context::Context(const Tensor& like) : like_(like) {
  context_.fp32_precision = fp32_precision();
  const LibTorch& torch = libtorch();
  if (!like.is_cuda()) {
    uint32_t threads = 0;
    if (torch.torch_get_num_threads(&threads) == 0)
      context_.num_threads = static_cast<int32_t>(threads);
    return;
  }
  if (torch.aoti_torch_get_current_cuda_stream == nullptr) {
    throw std::runtime_error(
        "sightline: libtorch has no aoti_torch_get_current_cuda_stream, expected a CUDA build");
  }
  const int32_t device = like.device_index();
  check_libtorch(torch.aoti_torch_get_current_cuda_stream(device, &context_.stream),
                 "get_current_cuda_stream");
  check_libtorch(torch.aoti_torch_create_device_guard(device, &guard_), "create_device_guard");
}

Tensor Context::take_workspace(uint64_t bytes) {
  if (bytes == 0) return Tensor();
  const auto words = static_cast<int64_t>((bytes + 3) / 4);
  Tensor workspace = Tensor::empty({words}, libtorch().aoti_torch_dtype_float32(), like_);
  context_.workspace = workspace.write_view().data;
  context_.workspace_bytes = static_cast<uint64_t>(words) * 4;
  return workspace;
}

Context::~Context() {
  if (guard_ != nullptr) libtorch().aoti_torch_delete_device_guard(guard_);
}

}  // namespace sightline::torch_ops
