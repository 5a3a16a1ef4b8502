// Emulated: native/src/cuda/ptx/mma.cuh. Fragments as the PTX ISA writes them; m16n8k16 by
// element index i: A row = g for i in {0,1,4,5}, else g + 8; column = 2t + (i & 1), + 8 from i = 4.
#pragma once

#include <cstring>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

// What a lane holds of D: rows g and g + 8, columns 2t and 2t + 1.
template <int kDepth>
void multiply_add(float* d, int lane, const float (&a)[16][kDepth], const float (&b)[kDepth][8]) {
  const int g = lane >> 2, t = lane & 3;
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? g : g + 8, column = t * 2 + (i & 1);
    double sum = d[i];
    for (int k = 0; k < kDepth; ++k) sum += static_cast<double>(a[row][k]) * b[k][column];
    d[i] = static_cast<float>(sum);
  }
}

template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Slot {
    float* d;
    const uint32_t* a;
    uint32_t b[2];
  } slot{d, a, {b0, b1}};
  const auto element = [](const uint32_t* words, int i) {
    const auto bits = static_cast<uint16_t>(words[i / 2] >> (16 * (i % 2)));
    T value;
    std::memcpy(&value, &bits, 2);
    return to_float(value);
  };
  emu::meet(emu::warp_meeting(), emu::lane(), 32, &slot, "mma", [&](void* const* slots) {
    float am[16][16], bm[16][8];
    for (int lane = 0; lane < 32; ++lane) {
      const Slot& s = *static_cast<Slot*>(slots[lane]);
      const int g = lane >> 2, t = lane & 3;
      for (int i = 0; i < 8; ++i) {
        const bool upper = i < 2 || (i >= 4 && i < 6);
        am[upper ? g : g + 8][t * 2 + (i & 1) + (i >= 4 ? 8 : 0)] = element(s.a, i);
      }
      for (int i = 0; i < 4; ++i) bm[t * 2 + (i & 1) + (i >= 2 ? 8 : 0)][g] = element(s.b, i);
    }
    for (int lane = 0; lane < 32; ++lane) {
      multiply_add(static_cast<Slot*>(slots[lane])->d, lane, am, bm);
    }
  });
}

inline uint32_t round_tf32(uint32_t bits) {
  if ((bits & 0x7f800000u) == 0x7f800000u) return (bits & 0x7fffffu) != 0 ? 0x7fffffffu : bits;
  return (bits + 0x1000u) & ~0x1fffu;
}

// m16n8k8 as the PTX ISA writes it: A row = g for a0 and a2, else g + 8; column = t for a0 and a1,
// else t + 4. B row = t for b0, t + 4 for b1; column = g. An operand that was not rounded is an
// error: the hardware would drop its low bits.
inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Slot {
    float* d;
    const uint32_t* a;
    uint32_t b[2];
  } slot{d, a, {b0, b1}};
  const auto element = [](uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    if (value == value && (bits & 0x1fffu) != 0) emu::fail("mma: an operand that is not tf32");
    return value;
  };
  emu::meet(emu::warp_meeting(), emu::lane(), 32, &slot, "mma", [&](void* const* slots) {
    float am[16][8], bm[8][8];
    for (int lane = 0; lane < 32; ++lane) {
      const Slot& s = *static_cast<Slot*>(slots[lane]);
      const int g = lane >> 2, t = lane & 3;
      for (int i = 0; i < 4; ++i) am[i % 2 == 0 ? g : g + 8][i < 2 ? t : t + 4] = element(s.a[i]);
      for (int i = 0; i < 2; ++i) bm[i == 0 ? t : t + 4][g] = element(s.b[i]);
    }
    for (int lane = 0; lane < 32; ++lane) {
      multiply_add(static_cast<Slot*>(slots[lane])->d, lane, am, bm);
    }
  });
}

}  // namespace sightline::ptx
