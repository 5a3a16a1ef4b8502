// Copies one operand's tile of a pipeline stage into shared memory with cp.async: kExtent rows of
// 128 bytes of k, or 128 bytes' worth of k rows of kExtent columns.
#pragma once

#include "cuda/gemm/descriptor.h"
#include "cuda/gemm/swizzle.h"
#include "cuda/math/dropout.h"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/tensor/operand.h"

namespace sightline::cuda {

// How much of k a stage holds: 128 bytes, which is 64 of 16 bits, 32 of fp32.
template <class T>
inline constexpr int kStageDepth = 128 / static_cast<int>(sizeof(T));
static_assert(kStageDepth<Bf16> == kBlockK);

// Up to four 16-byte chunks a thread, whose rows do not change along k for a K-major operand.
template <class T, Major kMajor, int kThreads, int kExtent>
struct StageLoader {
  static constexpr int kElements = 16 / static_cast<int>(sizeof(T));  // of a chunk
  static constexpr int kDepth = kStageDepth<T>;
  static constexpr int kRowChunks = (kMajor == Major::kK ? kDepth : kExtent) / kElements;
  static constexpr int kRowBytes = kRowChunks * 16;
  static constexpr int kBytes = kExtent * 128;
  static constexpr int kChunks = kBytes / 16 / kThreads;
  static_assert(kThreads % kRowChunks == 0, "a thread keeps its chunk column");
  static constexpr int kRowStep = kThreads / kRowChunks;

  const T* pointer[kChunks];  // K-major: start of the row. MN-major: [0] only, start of the columns
  Operand rows_of;            // MN-major: rows of k may come in batches
  int row, chunk;             // of the thread's first chunk
  int first, extent, depth;

  SL_DEVICE StageLoader(const Operand& operand, int first_, int extent_, int depth_, int thread)
      : rows_of(operand),
        row(thread / kRowChunks),
        chunk(thread % kRowChunks),
        first(first_),
        extent(extent_),
        depth(depth_) {
    const T* data = static_cast<const T*>(operand.data);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int r = first + row + i * kRowStep;
      // Rows past the end are never read; any valid address will do.
      pointer[i] = kMajor == Major::kK ? data + operand.offset(r < extent ? r : 0) : data;
    }
  }

  // Bytes from the start of the tile to a chunk of a stored row. ldmatrix reads 16-bit elements in
  // either orientation, and fp32 along k; fp32 across k is read element by element.
  static SL_HOST_DEVICE constexpr uint32_t offset(uint32_t row, uint32_t chunk) {
    return sizeof(T) == 4 && kMajor == Major::kMN ? element_chunk<kRowBytes>(row, chunk)
                                                  : swizzled_chunk<kRowBytes>(row, chunk);
  }
  static SL_HOST_DEVICE constexpr uint32_t element_offset(uint32_t row, uint32_t column) {
    return offset(row, column / kElements) + column % kElements * sizeof(T);
  }

  SL_DEVICE void load(uint32_t stage, int k0) const {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int r = row + i * kRowStep;
      const uint32_t destination = stage + offset(r, chunk);
      if constexpr (kMajor == Major::kK) {
        const int k = k0 + chunk * kElements;
        const bool valid = first + r < extent && k < depth;
        ptx::cp_async_16(destination, pointer[i] + (valid ? k : 0), valid ? 16 : 0);
      } else {
        const int k = k0 + r, column = first + chunk * kElements;
        const bool valid = k < depth && column < extent;
        ptx::cp_async_16(destination, pointer[0] + (valid ? rows_of.offset(k) + column : 0),
                         valid ? 16 : 0);
      }
    }
  }

  // Zeroes what the dropout mask drops of this thread's own chunks, once they have landed. A chunk
  // is eight (fp32: four) columns of one row of the matrix as stored, in either orientation.
  SL_DEVICE void drop(uint8_t* stage, int k0, const Dropout& dropout) const {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int r = row + i * kRowStep;
      const int64_t matrix_row = kMajor == Major::kK ? first + r : k0 + r;
      const int column = (kMajor == Major::kK ? k0 : first) + chunk * kElements;
      uint4* at = reinterpret_cast<uint4*>(stage + offset(r, chunk));
      uint4 held = *at;
      uint32_t* words = &held.x;
#pragma unroll
      for (int four = 0; four < kElements / 4; ++four) {
        const Philox4 drawn = dropout.draw(matrix_row, column / 4 + four);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const bool kept = drawn.word[j] >= dropout.threshold;
          if constexpr (sizeof(T) == 4) {
            if (!kept) words[j] = 0;
          } else {
            if (!kept) words[2 * four + j / 2] &= j % 2 == 0 ? 0xffff0000u : 0x0000ffffu;
          }
        }
      }
      *at = held;
    }
  }
};

}  // namespace sightline::cuda
