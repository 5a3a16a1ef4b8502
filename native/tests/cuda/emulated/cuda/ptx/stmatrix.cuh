// Emulated: native/src/cuda/ptx/stmatrix.cuh.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline void stmatrix_x4(uint32_t address, const uint32_t (&r)[4]) {
  struct Slot {
    uint32_t address;
    const uint32_t* r;
  } slot{address, r};
  emu::Block* block = emu::self().block;
  const int warp = emu::self().id / 32;
  emu::meet(emu::warp_meeting(), emu::lane(), 32, &slot, "stmatrix", [&](void* const* slots) {
    for (int q = 0; q < 4; ++q) {
      for (int row = 0; row < 8; ++row) {
        const uint32_t to = static_cast<Slot*>(slots[8 * q + row])->address;
        if (to % 16 != 0) emu::fail("stmatrix: address not a multiple of 16");
        for (int pair = 0; pair < 4; ++pair) {
          const uint32_t word = static_cast<Slot*>(slots[4 * row + pair])->r[q];
          std::memcpy(block->at(to, 16) + 4 * pair, &word, 4);
        }
        block->unfenced[to] = {warp, 0xffffffffu};
      }
    }
  });
}

}  // namespace sightline::ptx
