// What stands between a projector's layers.
#pragma once

#include <cstdint>

#include "sightline/sightline.h"

namespace sightline {

enum class Activation : uint8_t {
  kNone = SL_ACTIVATION_NONE,
  kSilu = SL_SILU,
  kGelu = SL_GELU,
  kGeluTanh = SL_GELU_TANH,
  kRelu = SL_RELU,
};
inline constexpr int kActivations = 5;

}  // namespace sightline
