// Emulated: native/src/cuda/ptx/ldmatrix.cuh.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline void ldmatrix(uint32_t (&r)[4], uint32_t address, bool transpose) {
  struct Slot {
    uint32_t address;
    uint32_t* r;
  } slot{address, r};
  emu::Block* block = emu::self().block;
  emu::meet(emu::warp_meeting(), emu::lane(), 32, &slot, "ldmatrix", [&](void* const* slots) {
    for (int q = 0; q < 4; ++q) {
      uint16_t matrix[8][8];
      for (int row = 0; row < 8; ++row) {
        const uint32_t from = static_cast<Slot*>(slots[8 * q + row])->address;
        if (from % 16 != 0) emu::fail("ldmatrix: address not a multiple of 16");
        std::memcpy(matrix[row], block->at(from, 16), 16);
      }
      for (int lane = 0; lane < 32; ++lane) {
        uint32_t word = 0;
        for (int e = 0; e < 2; ++e) {
          const int row = lane / 4, column = 2 * (lane % 4) + e;
          word |= static_cast<uint32_t>(transpose ? matrix[column][row] : matrix[row][column])
                  << (16 * e);
        }
        static_cast<Slot*>(slots[lane])->r[q] = word;
      }
    }
  });
}

inline void ldmatrix_x4(uint32_t (&r)[4], uint32_t address) { ldmatrix(r, address, false); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t address) { ldmatrix(r, address, true); }

}  // namespace sightline::ptx
