// Emulated: native/src/cuda/ptx/tensor_map.cuh.
#pragma once

#include <cstdint>

namespace sightline::ptx {

struct TensorMap {
  const void* data = nullptr;
  uint64_t dims[3] = {};    // elements of 2 bytes, innermost first
  int64_t strides[3] = {};  // elements
  uint32_t box[3] = {};
};

}  // namespace sightline::ptx
