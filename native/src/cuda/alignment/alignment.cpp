#include "cuda/alignment/alignment.h"

#include "cuda/runtime/device.h"
#include "cuda/runtime/status.h"
#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

sl_status alignment_create(const ProjectorViews& weights, const AlignmentOptions& options,
                           void** out) {
  int device = 0;
  if (const cudaError_t error = device_of_pointer(weights.w1.data, &device); error != cudaSuccess) {
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
