// Emulated: native/src/cuda/ptx/cp_async.cuh.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline void cp_async_16(uint32_t destination, const void* source, int bytes) {
  if (destination % 16 != 0) emu::fail("cp.async: shared address not a multiple of 16");
  if (reinterpret_cast<uintptr_t>(source) % 16 != 0) {
    emu::fail("cp.async: global address not a multiple of 16");
  }
  uint8_t* to = emu::self().block->at(destination, 16);
  std::memset(to, 0xFF, 16);
  emu::Machine& machine = emu::machine();
  const auto from = reinterpret_cast<uintptr_t>(source);
  if (from >= machine.watched_begin && from < machine.watched_end) machine.watched_bytes += bytes;
  emu::Thread& self = emu::self();
  self.copies.push_back({[=] {
                           std::memset(to, 0, 16);
                           std::memcpy(to, source, static_cast<size_t>(bytes));
                         },
                         self.copy_group});
}

inline void cp_async_commit() { ++emu::self().copy_group; }

template <int kPending>
void cp_async_wait() {
  emu::Thread& self = emu::self();
  const int64_t done = self.copy_group - kPending;
  while (!self.copies.empty() && (self.copies.front().group < done || emu::machine().coin())) {
    self.copies.front().execute();
    self.copies.pop_front();
  }
}

}  // namespace sightline::ptx
