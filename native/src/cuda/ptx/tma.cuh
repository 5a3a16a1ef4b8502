// TMA (sm_90). One thread issues a copy for the whole box. Coordinates are in
// elements, innermost first; what lies outside the tensor reads as zero (and still counts as bytes)
// and is not written. A map must live in a __grid_constant__ parameter.
#pragma once

#include <cstdint>

#include "cuda/ptx/tensor_map.cuh"
#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE void tma_prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

SL_DEVICE void tma_load(uint32_t destination, const TensorMap& map, uint32_t barrier, int x, int y,
                        int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(destination),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}

// The box lands, and its bytes are counted, at the same offsets in every block of `mask`.
SL_DEVICE void tma_load_multicast(uint32_t destination, const TensorMap& map, uint32_t barrier,
                                  uint16_t mask, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(destination),
      "l"(&map), "r"(barrier), "h"(mask), "r"(x), "r"(y), "r"(z)
      : "memory");
}

SL_DEVICE void tma_store(const TensorMap& map, uint32_t source, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(
          &map),
      "r"(source), "r"(x), "r"(y), "r"(z)
      : "memory");
}

// Bulk groups belong to the thread that stored: it commits, and it waits until their shared memory
// may be written again.
SL_DEVICE void tma_store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

template <int kPending>
SL_DEVICE void tma_store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

}  // namespace sightline::ptx
