// ldmatrix (sm_75): four 8x8 matrices of 16-bit elements; lanes 8q..8q+7 give the row addresses of
// matrix q, and lane l receives row l/4, columns 2(l%4) and 2(l%4)+1 of each (of its transpose with
// .trans).
#pragma once

#include <cstdint>

#include "cuda/tensor/types.cuh"

namespace sightline::ptx {

SL_DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

SL_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

}  // namespace sightline::ptx
