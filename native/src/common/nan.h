// The one NaN of results. Which sign and payload an operation on NaNs hands on depends on the order
// of its operands, and that on the tile an element lies in and on the compiler: whatever leaves a
// call is this one instead.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace sightline {

constexpr uint32_t kNanBits = 0x7fc00000u;  // the upper half in bf16

template <class Number>
SL_HOST_DEVICE float one_nan(Number value) {
  return value == value ? static_cast<float>(value) : __builtin_nanf("");
}

}  // namespace sightline
