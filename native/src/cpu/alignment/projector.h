// The projector's weights as the row blocks use them: LayerNorm's affine folded into the first
// layer, converted to the compute type and packed in both orientations, once per create or update.
//
//   W1' = W1 diag(gamma) [P,D]    b1' = b1 + W1 beta [P]
//
// All vectors are fp32. b1' and the sums are accumulated in fp64; W1' is rounded to fp32, then, for
// bf16 compute, to bf16.
#pragma once

#include "api/backend.h"
#include "cpu/gemm/gemm.h"

namespace sightline::cpu {

struct Projector {
  const Kernels* kernels = nullptr;
  AlignmentOptions options;
  int64_t d = 0, p = 0, z = 0;

  PackedB w1, w2, w3;                             // K x N: D x P, P x P, P x Z
  PackedB w1_backward, w2_backward, w3_backward;  // P x D, P x P, Z x P
  const float* b1 = nullptr;  // folded; vectors are padded with zeros to kRowPad
  const float* b2 = nullptr;
  const float* b3 = nullptr;

  // Trainable only: what the gradients of gamma, beta and W1 need.
  const float* gamma = nullptr;
  const float* beta = nullptr;
  const float* w1_plain = nullptr;  // [P,D] compact

  Projector() = default;
  Projector(const Projector&) = delete;
  Projector& operator=(const Projector&) = delete;
  ~Projector();

  // Allocates for these shapes; false if there is no memory. Then read() fills it, any number of
  // times.
  bool allocate(const Kernels& table, const ProjectorViews& weights, const AlignmentOptions& opts);
  void read(const ProjectorViews& weights, int threads);

 private:
  struct Storage;
  Storage layout(void* base) const;
  void* memory_ = nullptr;
};

}  // namespace sightline::cpu
