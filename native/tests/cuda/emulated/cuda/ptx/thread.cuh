// Emulated: native/src/cuda/ptx/thread.cuh.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline int thread_id() { return emu::self().id; }
inline int block_id() { return emu::self().block->id; }
inline int block_count() { return emu::machine().blocks; }
inline int warp_id() { return emu::self().id / 32; }

inline void sync_threads() {
  emu::Block& block = *emu::self().block;
  emu::meet(block.all, 0, block.alive, nullptr, "sync_threads", nullptr);
}
inline void sync_warp() {
  emu::meet(emu::warp_meeting(), emu::lane(), 32, nullptr, "sync_warp", nullptr);
}

inline void named_barrier(int id, int count) {
  emu::meet(emu::self().block->named[id], 0, count, nullptr, "named barrier", nullptr);
}

inline float shuffle_xor(float value, int mask) {
  struct Slot {
    float in, out;
  } slot{value, 0.f};
  emu::meet(emu::warp_meeting(), emu::lane(), 32, &slot, "shuffle", [&](void* const* slots) {
    for (int i = 0; i < 32; ++i) {
      static_cast<Slot*>(slots[i])->out = static_cast<Slot*>(slots[i ^ mask])->in;
    }
  });
  return slot.out;
}

inline uint8_t* shared_memory() { return emu::self().block->shared; }
inline uint32_t shared_address(const void* pointer) {
  return emu::kSharedBase +
         static_cast<uint32_t>(static_cast<const uint8_t*>(pointer) - emu::self().block->shared);
}

inline void trap() { emu::fail("trap"); }

}  // namespace sightline::ptx
