// ld.shared: one 32-bit word of shared memory.
#pragma once

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE uint32_t load_shared_b32(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
  return word;
}

}  // namespace sightline::ptx
