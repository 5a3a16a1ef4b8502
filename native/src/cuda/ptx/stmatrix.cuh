// stmatrix (sm_90): four 8x8 matrices of 16-bit elements from registers to shared memory, the
// inverse of ldmatrix: lanes 8q..8q+7 give the row addresses of matrix q, and lane l holds row l/4,
// columns 2(l%4) and 2(l%4)+1 of each.
#pragma once

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE void stmatrix_x4(uint32_t address, const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared::cta.b16 [%0], {%1,%2,%3,%4};" ::"r"(address),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

}  // namespace sightline::ptx
