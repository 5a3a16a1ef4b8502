// cp.async (sm_80): 16 bytes from global to shared memory without a register.
#pragma once

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

// Copies `bytes` (0 or 16) and fills the rest of the 16 with zeros. `source` is formed even where
// bytes is 0, so it must be a valid address.
SL_DEVICE void cp_async_16(uint32_t destination, const void* source, int bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(destination),
               "l"(source), "r"(bytes)
               : "memory");
}

SL_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kPending of this thread's most recent groups are unfinished.
template <int kPending>
SL_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace sightline::ptx
