// The one NaN of results. Which sign and payload an operation on NaNs hands on depends on the order
// of its operands, and that on the tile an element lies in and on the compiler: whatever leaves a
// call is this one instead.
#pragma once

#include <cstdint>

namespace sightline {

constexpr uint32_t kNanBits = 0x7fc00000u;  // the upper half in bf16

// Never a function of its own: it is part of code for one instruction set.
template <class Number>
inline __attribute__((always_inline)) float one_nan(Number value) {
  return value == value ? static_cast<float>(value) : __builtin_nanf("");
}

}  // namespace sightline
