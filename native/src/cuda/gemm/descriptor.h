// Shared-memory matrix descriptors of wgmma (PTX ISA, "Matrix Descriptor Format"), 128-byte
// swizzle, 16-bit elements:
//   bits 0-13   start address / 16        bits 32-45  stride byte offset / 16
//   bits 16-29  leading byte offset / 16  bits 62-63  1: 128-byte swizzle
// Base offset (bits 49-51) stays 0: every tile starts on 1024 bytes.
#pragma once

#include "cuda/tensor/types.cuh"

namespace sightline::cuda {

// How an operand lies in memory: rows of the reduced dimension k, or rows of m (or n).
enum class Major { kK, kMN };

constexpr int kBlockK = 64;              // elements of k per pipeline stage: one 128-byte row
constexpr int kTileRowBytes = 128;       // one swizzle row: 64 elements
constexpr int kSwizzleAtomBytes = 1024;  // eight swizzle rows

SL_HOST_DEVICE constexpr uint64_t encode_descriptor(uint32_t address, uint32_t leading_bytes,
                                                    uint32_t stride_bytes) {
  return static_cast<uint64_t>((address & 0x3FFFF) >> 4) |
         static_cast<uint64_t>((leading_bytes & 0x3FFFF) >> 4) << 16 |
         static_cast<uint64_t>((stride_bytes & 0x3FFFF) >> 4) << 32 | uint64_t{1} << 62;
}

// K-major: rows of 64 k, eight rows per atom; the leading offset is not used (encoded 1).
// MN-major: an atom is 64 mn by 8 k; the next 8 k follow at 1024 bytes, the next 64 mn after the
// whole depth of the stage.
template <Major kMajor>
SL_HOST_DEVICE constexpr uint64_t tile_descriptor(uint32_t address) {
  return kMajor == Major::kK
             ? encode_descriptor(address, 16, kSwizzleAtomBytes)
             : encode_descriptor(address, kBlockK * kTileRowBytes, kSwizzleAtomBytes);
}

// Added to a descriptor per k-step of 16: 32 bytes along the row, or 16 rows of k. Addresses stay
// under 2^18, so the sum never carries out of the address field.
template <Major kMajor>
inline constexpr uint64_t kDescriptorStep = kMajor == Major::kK ? 32 / 16 : 16 * kTileRowBytes / 16;

// From rows (K-major) or columns (MN-major) 0..63 of a tile to 64..127: 64 rows of 128 bytes, or
// the next chunk of 64; the same number of bytes.
constexpr int kHalfTileBytes = 64 * kTileRowBytes;

static_assert(tile_descriptor<Major::kK>(0) == 0x4000004000010000,
              "the constant that published wgmma kernels use");
static_assert(tile_descriptor<Major::kMN>(0) == 0x4000004002000000,
              "the constant that published wgmma kernels use");

}  // namespace sightline::cuda
