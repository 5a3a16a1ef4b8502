// Emulated: native/src/cuda/ptx/cluster.cuh.
#pragma once

#include <cstring>

#include "cuda/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline int cluster_rank() { return emu::self().block->rank; }
inline int cluster_id() { return emu::machine().cluster_index; }
inline int cluster_count() { return emu::machine().clusters; }

inline void cluster_sync() {
  int alive = 0;
  for (const auto& block : emu::machine().cluster) alive += block->alive;
  emu::meet(emu::machine().everyone, 0, alive, nullptr, "cluster_sync", nullptr);
}

inline void store_async_remote(uint32_t address, uint32_t barrier, int rank, float4 value) {
  emu::Block* peer = emu::machine().cluster.at(static_cast<size_t>(rank)).get();
  emu::machine().loads.push_back([=] {
    std::memcpy(peer->at(address, 16), &value, 16);
    emu::Barrier& b = emu::barrier_at(*peer, barrier);
    b.bytes -= 16;
    emu::complete(b);
  });
}

}  // namespace sightline::ptx
