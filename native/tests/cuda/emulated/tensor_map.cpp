// Emulated: native/src/cuda/runtime/tensor_map.cpp, with the encoder's requirements checked.
#include "cuda/runtime/tensor_map.h"

#include <string>

#include "emulator.h"

namespace sightline::cuda {

cudaError_t make_tensor_map(const TensorMapShape& shape, ptx::TensorMap* out) {
  const auto require = [](bool condition, const char* what) {
    if (!condition) emu::fail(std::string("tensor map: ") + what);
  };
  require(reinterpret_cast<uintptr_t>(shape.data) % 16 == 0, "base not a multiple of 16 bytes");
  require(shape.row_stride * 2 % 16 == 0, "row stride not a multiple of 16 bytes");
  require(shape.batch_stride * 2 % 16 == 0, "batch stride not a multiple of 16 bytes");
  require(shape.columns >= 1 && shape.rows >= 1 && shape.batches >= 1, "empty dimension");
  require(shape.box_rows >= 1 && shape.box_rows <= 256, "box of more than 256 rows");
  *out = {};
  out->data = shape.data;
  out->dims[0] = shape.columns, out->dims[1] = shape.rows, out->dims[2] = shape.batches;
  out->strides[0] = 1, out->strides[1] = shape.row_stride, out->strides[2] = shape.batch_stride;
  out->box[0] = 64, out->box[1] = shape.box_rows, out->box[2] = 1;
  return cudaSuccess;
}

}  // namespace sightline::cuda
