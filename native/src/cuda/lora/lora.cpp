#include "cuda/lora/lora.h"

#include <limits>

#include "cuda/runtime/status.h"
#include "cuda/tensor/types.cuh"

namespace sightline::cuda {
namespace {

// Kernels count rows and columns in 32 bits.
sl_status check_size(const char* what, int64_t size) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() - 256;
  if (size <= kMost) return SL_OK;
  return set_error(SL_UNSUPPORTED, "%s: %lld, at most %lld on CUDA", what,
                   static_cast<long long>(size), static_cast<long long>(kMost));
}

sl_status check_sizes(const LoraCall& call) {
  SL_TRY(check_size("rows of x", call.x.total_rows()));
  SL_TRY(check_size("columns of x", call.x.cols));
  int64_t rank = 0;
  for (int64_t i = 0; i < call.count; ++i) {
    SL_TRY(check_size("rows of b", call.linears[i].b.rows));
    rank += call.linears[i].a.rows + 16;
  }
  return check_size("rank of all linears", rank);
}

}  // namespace

sl_status lora_forward(const sl_context& context, const LoraCall& call) {
  SL_TRY(check_sizes(call));
  if (call.x.total_rows() == 0) return SL_OK;
  return on_device_of(call.linears[0].a.data, "tensors", [&](const Device& device) {
    return call.x.dtype == DType::kFloat32 ? typed_lora_forward<float>(device, context, call)
                                           : typed_lora_forward<Bf16>(device, context, call);
  });
}

sl_status lora_backward(const sl_context& context, const LoraCall& call) {
  SL_TRY(check_sizes(call));
  return on_device_of(call.linears[0].a.data, "tensors", [&](const Device& device) {
    return call.x.dtype == DType::kFloat32 ? typed_lora_backward<float>(device, context, call)
                                           : typed_lora_backward<Bf16>(device, context, call);
  });
}

}  // namespace sightline::cuda
