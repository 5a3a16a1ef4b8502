// Thread block clusters (sm_90): cta_rank, barrier, and stores into a peer's shared memory (DSMEM).
#pragma once

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE int cluster_ctarank() {
  uint32_t cta_rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(cta_rank));
  return static_cast<int>(cta_rank);
}

SL_DEVICE int cluster_id() {
  uint32_t id;
  asm volatile("mov.u32 %0, %%clusterid.x;" : "=r"(id));
  return static_cast<int>(id);
}

SL_DEVICE int cluster_count() {
  uint32_t count;
  asm volatile("mov.u32 %0, %%nclusterid.x;" : "=r"(count));
  return static_cast<int>(count);
}

// All threads of all blocks of the cluster, converged warps.
SL_DEVICE void cluster_sync() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;\n" ::
          : "memory");
}

// Stores four floats at this offset in block `cta_rank` and counts 16 bytes on the barrier at its
// offset there.
SL_DEVICE void store_async_remote(uint32_t address, uint32_t barrier, int cta_rank, float4 value) {
  asm volatile(
      "{\n"
      ".reg .b32 address, barrier;\n"
      "mapa.shared::cluster.u32 address, %0, %2;\n"
      "mapa.shared::cluster.u32 barrier, %1, %2;\n"
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [address], {%3,%4,%5,%6}, "
      "[barrier];\n"
      "}\n" ::"r"(address),
      "r"(barrier), "r"(cta_rank), "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w)
      : "memory");
}

}  // namespace sightline::ptx
