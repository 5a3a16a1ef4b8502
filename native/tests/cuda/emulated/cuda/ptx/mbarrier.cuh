// Emulated: native/src/cuda/ptx/mbarrier.cuh.
#pragma once

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline void mbarrier_init(uint32_t barrier, int arrivals) {
  emu::Block& block = *emu::self().block;
  block.at(barrier, 8);
  if (barrier % 8 != 0) emu::fail("mbarrier: address not a multiple of 8");
  block.barriers[barrier] = {arrivals, arrivals, 0, 0};
}

inline void mbarrier_init_fence() {}

inline void mbarrier_arrive_expect_tx(uint32_t barrier, uint32_t bytes) {
  emu::Barrier& b = emu::barrier_at(*emu::self().block, barrier);
  if (b.pending == 0) emu::fail("mbarrier: more arrivals than its count");
  b.bytes += bytes;
  --b.pending;
  emu::complete(b);
}

inline void mbarrier_arrive(uint32_t barrier) {
  emu::Barrier& b = emu::barrier_at(*emu::self().block, barrier);
  if (b.pending == 0) emu::fail("mbarrier: more arrivals than its count");
  --b.pending;
  emu::complete(b);
}

inline void mbarrier_arrive_remote(uint32_t barrier, int cta_rank) {
  emu::Block& peer = *emu::machine().cluster.at(static_cast<size_t>(cta_rank));
  if (peer.alive == 0) emu::fail("mbarrier: arrival at a block that has ended");
  emu::Barrier& b = emu::barrier_at(peer, barrier);
  if (b.pending == 0) emu::fail("mbarrier: more arrivals than its count");
  --b.pending;
  emu::complete(b);
}

inline void mbarrier_wait(uint32_t barrier, uint32_t parity) {
  emu::Block& block = *emu::self().block;
  emu::barrier_at(block, barrier);
  // Reported as an offset behind the shared base, to be found in the kernel's layout.
  emu::wait_until("mbarrier", [&] { return block.barriers[barrier].parity != (parity & 1); });
}

inline void mbarrier_wait_cluster(uint32_t barrier, uint32_t parity) {
  mbarrier_wait(barrier, parity);
}

}  // namespace sightline::ptx
