// The descriptor of a tensor for TMA; made on the host by runtime/tensor_map.h.
#pragma once

#include <cuda.h>

namespace sightline::ptx {

using TensorMap = CUtensorMap;

}  // namespace sightline::ptx
