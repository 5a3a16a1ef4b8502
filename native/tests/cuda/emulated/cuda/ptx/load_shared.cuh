// Emulated: native/src/cuda/ptx/load_shared.cuh.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline uint32_t load_shared_b32(uint32_t address) {
  if (address % 4 != 0) emu::fail("ld.shared.b32: address not a multiple of 4");
  uint32_t word;
  std::memcpy(&word, emu::self().block->at(address, 4), 4);
  return word;
}

}  // namespace sightline::ptx
