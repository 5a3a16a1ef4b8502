// Emulated: native/src/cuda/ptx/wgmma.cuh, from the canonical layouts of the PTX ISA for 128-byte
// swizzle: K-major element (r, k) at start + (r / 8) stride + (r % 8) 128 + 2k; MN-major element
// (mn, k) at start + (mn / 64) leading + (k / 8) stride + (k % 8) 128 + 2 (mn % 64); then address
// bits 4-6 ^= bits 7-9.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "cuda/tensor/types.cuh"
#include "emulator.h"

namespace sightline::ptx {

inline void wgmma_fence() {}
inline void wgmma_commit() { ++emu::self().wgmma_group; }

template <int kPending>
void wgmma_wait() {
  emu::Thread& self = emu::self();
  auto& pending = self.block->wgmma[self.id / 128].pending;
  const int64_t done = self.wgmma_group - kPending;
  while (!pending.empty() && pending.front().group < done) {
    pending.front().execute();
    pending.pop_front();
  }
}

template <int kCount>
void pin_accumulators(float (&)[kCount]) {}

template <class T>
float descriptor_element(emu::Block& block, uint64_t descriptor, bool mn_major, int r, int k) {
  const auto field = [&](int bit) {
    return static_cast<uint32_t>((descriptor >> bit) & 0x3FFF) << 4;
  };
  if (descriptor >> 62 != 1) emu::fail("wgmma: descriptor without 128-byte swizzle");
  if (descriptor & 0x3FFFC000C000C000ull) emu::fail("wgmma: descriptor has undefined bits");
  const uint32_t start = field(0), leading = field(16), stride = field(32);
  uint32_t address = mn_major ? start + r / 64 * leading + k / 8 * stride + k % 8 * 128 + r % 64 * 2
                              : start + r / 8 * stride + r % 8 * 128 + k * 2;
  address ^= ((address >> 7) & 7) << 4;
  T value;
  std::memcpy(&value, block.at(address, 2), 2);
  return to_float(value);
}

template <class T, int kN>
struct Wgmma {
  template <int kTransA, int kTransB>
  static void issue(float (&d)[kN / 2], uint64_t a, uint64_t b, int accumulate) {
    struct Slot {
      float* d;
      uint64_t a, b;
      int accumulate;
    } slot{d, a, b, accumulate};
    emu::Thread& self = emu::self();
    emu::Block* block = self.block;
    auto* pending = &block->wgmma[self.id / 128].pending;
    const int64_t group = self.wgmma_group;
    emu::meet(emu::group_meeting(), self.id % 128, 128, &slot, "wgmma", [&](void* const* slots) {
      auto registers = std::make_shared<std::vector<float*>>();
      auto old = std::make_shared<std::vector<float>>();
      const bool pending_before = !pending->empty();
      for (int thread = 0; thread < 128; ++thread) {
        const Slot& s = *static_cast<Slot*>(slots[thread]);
        if (s.a != a || s.b != b || s.accumulate != accumulate) {
          emu::fail("wgmma: operands differ between threads");
        }
        registers->push_back(s.d);
      }
      // Until the wait the registers hold nothing that code may read.
      if (!pending_before) {
        for (float* r : *registers) {
          old->insert(old->end(), r, r + kN / 2);
          for (int i = 0; i < kN / 2; ++i) r[i] = std::numeric_limits<float>::quiet_NaN();
        }
      }
      const auto execute = [=] {
        if (!old->empty()) {
          for (int thread = 0; thread < 128; ++thread) {
            std::copy_n(old->data() + thread * (kN / 2), kN / 2, (*registers)[thread]);
          }
        }
        float am[64][16];
        auto bm = std::make_unique<float[][16]>(kN);
        for (int k = 0; k < 16; ++k) {
          for (int r = 0; r < 64; ++r) am[r][k] = descriptor_element<T>(*block, a, kTransA, r, k);
          for (int r = 0; r < kN; ++r) bm[r][k] = descriptor_element<T>(*block, b, kTransB, r, k);
        }
        for (int thread = 0; thread < 128; ++thread) {
          float* out = (*registers)[thread];
          // PTX ISA, D fragment: row = 16 warp + lane / 4 (+ 8 for the odd pair), columns in pairs.
          for (int i = 0; i < kN / 2; ++i) {
            const int lane = thread % 32, pair = i / 2;
            const int row = thread / 32 * 16 + lane / 4 + (pair % 2 == 1 ? 8 : 0);
            const int column = pair / 2 * 8 + lane % 4 * 2 + i % 2;
            float sum = accumulate ? out[i] : 0.f;
            for (int k = 0; k < 16; ++k) sum += am[row][k] * bm[column][k];
            out[i] = sum;
          }
        }
      };
      pending->push_back({execute, group});
      if (emu::machine().coin()) {
        while (!pending->empty()) {
          pending->front().execute();
          pending->pop_front();
        }
      }
    });
  }
};

}  // namespace sightline::ptx
