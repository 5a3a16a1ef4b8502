// Where a 16-byte chunk of a tile row lies in shared memory, so that neither the copies in nor the
// matrix loads out meet bank conflicts.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

// Rows of 64 16-bit elements are 128 bytes: eight chunks. In a buffer that starts on 1024 bytes
// this is TMA's 128-byte swizzle (address bits 4-6 ^= bits 7-9), which wgmma undoes.
// Wider rows (a multiple of 128 bytes) permute within each 128 bytes in the same way.
template <int kRowBytes>
SL_HOST_DEVICE constexpr uint32_t swizzled_chunk(uint32_t row, uint32_t chunk) {
  static_assert(kRowBytes % 128 == 0, "the permutation works on groups of eight 16-byte chunks");
  return row * kRowBytes + ((chunk ^ (row & 7)) << 4);
}

// Rows of fp32 of which a warp reads eight columns of four consecutive rows at once, one element a
// lane: their chunk pairs lie apart.
template <int kRowBytes>
SL_HOST_DEVICE constexpr uint32_t element_chunk(uint32_t row, uint32_t chunk) {
  static_assert(kRowBytes % 128 == 0, "the permutation works on groups of eight 16-byte chunks");
  return row * kRowBytes + ((chunk ^ ((row & 3) << 1)) << 4);
}

// TMA's 128-byte swizzle of a byte address, by its definition.
SL_HOST_DEVICE constexpr uint32_t swizzle_128b(uint32_t address) {
  return address ^ ((address >> 3) & 0x70);
}

// fp32 staging of accumulators: a row of kColumns floats as chunks of four. Half a warp writes
// eight columns of four rows (lane = 4 row + column / 2), and eight lanes read 32 bytes each of one
// row; both without bank conflicts.
template <int kColumns>
SL_HOST_DEVICE constexpr uint32_t staged_chunk(uint32_t row, uint32_t chunk) {
  static_assert(kColumns % 32 == 0, "a row is a multiple of 128 bytes");
  const uint32_t mask = ((row & 3) << 1) | ((row >> 2) & 1);
  return row * (kColumns * 4) + ((chunk ^ mask) << 4);
}

}  // namespace sightline::cuda
