// What a step needs to know of its tensors, in device memory: written once at creation, the
// gradients and groups again where they change. Writes go through kernel parameters, so they are in
// stream order, keep no host memory alive and are captured by value.
#pragma once

#include <algorithm>
#include <cstring>

#include "cuda/ptx/griddep.cuh"
#include "cuda/ptx/thread.cuh"
#include "cuda/runtime/launch.cuh"
#include "sightline/sightline.h"

namespace sightline::cuda {

constexpr int kAdamwChunk = 4096;  // elements a block takes at a time

struct AdamwEntry {
  void* param;
  float* exp_avg;
  float* exp_avg_sq;
  float* master;       // or null
  int16_t* remainder;  // or null
  int64_t size;
  int32_t group;
  DType param_dtype;
  bool vector;  // every pointer starts on 16 bytes
};

struct GradEntry {
  void* data;  // null: no gradient in this step
  DType dtype;
  bool vector;
  uint8_t unused[6];  // entries are compared byte by byte
};

struct AdamwChunk {
  int32_t tensor;
  int32_t index;  // of its tensor's chunks
};

// Left by the block that finds itself last at the barrier.
struct AdamwDecision {
  double sum_of_squares;
  int64_t nonfinite;
  double clip;
  int32_t skip;
};

struct AdamwBarrier {
  uint32_t arrived, phase, finished;
};

struct AdamwPart {  // of one block
  double sum_of_squares;
  int64_t nonfinite;
};

struct WriteWordsKernel {
  static constexpr int kThreads = 256, kMinBlocks = 1, kSharedBytes = 0;
  static constexpr int kWords = 480;
  struct Params {
    uint64_t* to;
    int count;
    uint64_t words[kWords];
  };
  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    for (int i = ptx::thread_id(); i < p.count; i += kThreads) p.to[i] = p.words[i];
  }
};

// `count` elements of a multiple of 8 bytes.
template <class T>
void write_table(Stream& stream, T* to, const T* from, int64_t count) {
  static_assert(sizeof(T) % 8 == 0, "tables are written in words of 8 bytes");
  const int64_t words = count * static_cast<int64_t>(sizeof(T) / 8);
  for (int64_t i = 0; i < words; i += WriteWordsKernel::kWords) {
    WriteWordsKernel::Params p{};
    p.to = reinterpret_cast<uint64_t*>(to) + i;
    p.count = static_cast<int>(std::min<int64_t>(words - i, WriteWordsKernel::kWords));
    std::memcpy(p.words, reinterpret_cast<const char*>(from) + 8 * i,
                static_cast<size_t>(p.count) * 8);
    stream.launch<WriteWordsKernel>(p, 1);
  }
}

}  // namespace sightline::cuda
