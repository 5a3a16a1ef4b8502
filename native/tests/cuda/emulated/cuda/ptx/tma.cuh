// Emulated: native/src/cuda/ptx/tma.cuh. 128-byte swizzle: address bits 4-6 ^= bits 7-9.
#pragma once

#include <cstring>

#include "cuda/ptx/tensor_map.cuh"
#include "cuda/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline void tma_prefetch_map(const TensorMap&) {}

inline void tma_load_multicast(uint32_t destination, const TensorMap& map, uint32_t barrier,
                               uint16_t mask, int x, int y, int z) {
  const uint32_t bytes = map.box[0] * map.box[1] * map.box[2] * 2;
  if (destination % 128 != 0) emu::fail("tensor copy: shared address not a multiple of 128");
  for (size_t rank = 0; rank < emu::machine().cluster.size(); ++rank) {
    if ((mask >> rank & 1) == 0) continue;
    emu::Block* block = emu::machine().cluster[rank].get();
    if (block->alive == 0) emu::fail("tensor copy: into a block that has ended");
    std::memset(block->at(destination, bytes), 0xFF, bytes);
    emu::machine().loads.push_back([=] {
      uint32_t offset = destination;
      for (uint32_t k = 0; k < map.box[2]; ++k) {
        for (uint32_t j = 0; j < map.box[1]; ++j) {
          for (uint32_t i = 0; i < map.box[0]; ++i, offset += 2) {
            const int64_t at[3] = {x + int64_t{i}, y + int64_t{j}, z + int64_t{k}};
            uint16_t value = 0;
            bool inside = true;
            int64_t index = 0;
            for (int d = 0; d < 3; ++d) {
              inside = inside && at[d] >= 0 && at[d] < static_cast<int64_t>(map.dims[d]);
              index += at[d] * map.strides[d];
            }
            if (inside) value = static_cast<const uint16_t*>(map.data)[index];
            const uint32_t swizzled = offset ^ (((offset >> 7) & 7) << 4);
            std::memcpy(block->at(swizzled, 2), &value, 2);
          }
        }
      }
      emu::Barrier& b = emu::barrier_at(*block, barrier);
      b.bytes -= bytes;
      emu::complete(b);
    });
  }
}

inline void tma_load(uint32_t destination, const TensorMap& map, uint32_t barrier, int x, int y,
                     int z) {
  tma_load_multicast(destination, map, barrier, static_cast<uint16_t>(1 << emu::self().block->rank),
                     x, y, z);
}

}  // namespace sightline::ptx
