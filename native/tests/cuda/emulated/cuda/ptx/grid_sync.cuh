// Emulated: native/src/cuda/ptx/grid_sync.cuh. Blocks of a cooperative grid are fibers of one
// cluster.
#pragma once

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline uint32_t arrive(uint32_t* counter) {
  emu::yield();
  ++emu::machine().progress;
  return (*counter)++;
}
inline uint32_t read_acquire(const uint32_t* flag) {
  emu::yield();
  return *flag;
}
inline void write_release(uint32_t* flag, uint32_t value) {
  ++emu::machine().progress;
  *flag = value;
}
inline void wait_while(const uint32_t* flag, uint32_t old) {
  emu::wait_until("grid barrier", [&] { return *flag != old; });
}

}  // namespace sightline::ptx
