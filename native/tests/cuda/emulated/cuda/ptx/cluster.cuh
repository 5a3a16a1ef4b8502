// Emulated: native/src/cuda/ptx/cluster.cuh.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline int cluster_ctarank() { return emu::self().block->cta_rank; }
inline int cluster_id() { return emu::machine().cluster_index; }
inline int cluster_count() { return emu::machine().clusters; }

inline void cluster_sync() {
  int alive = 0;
  for (const auto& block : emu::machine().cluster) alive += block->alive;
  emu::meet(emu::machine().everyone, 0, alive, nullptr, "cluster_sync", nullptr);
}

inline void store_async_remote(uint32_t address, uint32_t barrier, int cta_rank, float4 value) {
  emu::Block* peer = emu::machine().cluster.at(static_cast<size_t>(cta_rank)).get();
  emu::machine().loads.push_back([=] {
    std::memcpy(peer->at(address, 16), &value, 16);
    emu::Barrier& b = emu::barrier_at(*peer, barrier);
    b.bytes -= 16;
    emu::complete(b);
  });
}

}  // namespace sightline::ptx
