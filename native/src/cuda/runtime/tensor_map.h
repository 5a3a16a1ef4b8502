// Descriptors for TMA. The encoder is looked up through the runtime, so nothing
// links against libcuda.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "common/views.h"
#include "cuda/ptx/tensor_map.cuh"

namespace sightline::cuda {

// [batches, rows, columns] of 16-bit elements, read in boxes of 64 columns (128 bytes, 128-byte
// swizzle) by box_rows rows. Base address and strides are multiples of 16 bytes.
struct TensorMapShape {
  const void* data;
  uint64_t columns, rows, batches;
  int64_t row_stride, batch_stride;  // in elements
  uint32_t box_rows;
};

cudaError_t make_tensor_map(const TensorMapShape& shape, ptx::TensorMap* out);

}  // namespace sightline::cuda
