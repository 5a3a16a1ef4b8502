#include "cuda/runtime/tensor_map.h"

#include <cudaTypedefs.h>

namespace sightline::cuda {

namespace {

PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  static const PFN_cuTensorMapEncodeTiled_v12000 function = [] {
    cudaFree(nullptr);  // the encoder wants a context
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry,
                                                               12000, cudaEnableDefault, &found);
    if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) entry = nullptr;
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(entry);
  }();
  return function;
}

}  // namespace

cudaError_t make_tensor_map(const TensorMapShape& shape, ptx::TensorMap* out) {
  if (encoder() == nullptr) return cudaErrorCallRequiresNewerDriver;
  const cuuint64_t dims[3] = {shape.columns, shape.rows, shape.batches};
  const cuuint64_t strides[2] = {static_cast<cuuint64_t>(shape.row_stride) * 2,
                                 static_cast<cuuint64_t>(shape.batch_stride) * 2};
  const cuuint32_t box[3] = {64, shape.box_rows, 1};
  const cuuint32_t steps[3] = {1, 1, 1};
  const CUresult result =
      encoder()(out, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void*>(shape.data), dims,
                strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace sightline::cuda
