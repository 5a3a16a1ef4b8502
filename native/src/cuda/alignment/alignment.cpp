#include "cuda/alignment/alignment.h"

#include "cuda/runtime/device.h"
#include "cuda/runtime/status.h"
#include "cuda/tensor/types.cuh"

namespace sightline::cuda {
namespace {

sl_status refuse(const char* what) {
  return set_error(SL_UNSUPPORTED,
                   "%s: the CUDA backend has no such projector, expected LayerNorm with weight and "
                   "bias, three layers with biases, SL_SILU, inner layers of one width",
                   what);
}

// The chain is that of one description.
sl_status check_description(const ProjectorViews& weights, const ProjectorOptions& options) {
  if (options.norm != Norm::kLayer) return refuse("desc.norm");
  if (options.layers != 3) return refuse("desc.layers");
  if (options.activation != Activation::kSilu) return refuse("desc.activation");
  if (!weights.norm_weight) return refuse("weights.norm_weight");
  if (!weights.norm_bias) return refuse("weights.norm_bias");
  for (int i = 0; i < options.layers; ++i) {
    if (!weights.layers[i].bias) return refuse("weights.layers");
  }
  if (weights.layers[1].weight.rows != weights.layers[1].weight.cols) {
    return refuse("weights.layers[1].weight");
  }
  return SL_OK;
}

}  // namespace

sl_status alignment_create(const ProjectorViews& weights, const ProjectorOptions& options,
                           void** out) {
  if (const sl_status status = check_description(weights, options); status != SL_OK) return status;
  int device = 0;
  if (const cudaError_t error = device_of_pointer(weights.layers[0].weight.data, &device);
      error != cudaSuccess) {
    return status_of(error, "weights");
  }
  const DeviceScope scope(device);
  if (scope.error() != cudaSuccess) return status_of(scope.error(), "cudaSetDevice");
  sl_status status = SL_OK;
  const auto make =
      options.compute == DType::kFloat32 ? make_alignment<float> : make_alignment<Bf16>;
  *out = make(device, weights, options, &status).release();
  return status;
}

sl_status alignment_update(void* alignment, const sl_context& context,
                           const ProjectorViews& weights) {
  auto* handle = static_cast<AlignmentHandle*>(alignment);
  const DeviceScope scope(handle->device());
  if (scope.error() != cudaSuccess) return status_of(scope.error(), "cudaSetDevice");
  return handle->update(context, weights);
}

sl_status alignment_loss(const void* alignment, const sl_context& context,
                         const AlignmentCall& call) {
  if (call.loss_options.kind != LossKind::kCosine || call.loss_options.spatial_teacher) {
    return set_error(SL_UNSUPPORTED,
                     "loss_desc: the CUDA backend has no such loss, expected SL_LOSS_COSINE and "
                     "SL_TEACHER_AS_IS");
  }
  const auto* handle = static_cast<const AlignmentHandle*>(alignment);
  const DeviceScope scope(handle->device());
  if (scope.error() != cudaSuccess) return status_of(scope.error(), "cudaSetDevice");
  return handle->loss(context, call);
}

void alignment_destroy(void* alignment) {
  auto* handle = static_cast<AlignmentHandle*>(alignment);
  if (handle == nullptr) return;
  const DeviceScope scope(handle->device());
  delete handle;
}

}  // namespace sightline::cuda
