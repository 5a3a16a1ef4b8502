// The projector's weights as the row blocks use them: the norm's affine folded into the first
// layer, converted to the compute type and packed in both orientations, once per create or update.
//
//   W1' = W1 diag(gamma)    b1' = b1 + W1 beta
//
// All vectors are fp32; a gamma that is not there is ones, a beta or bias zeros. b1' and the sums
// are accumulated in fp64; W1' is rounded to fp32, then, for bf16 compute, to bf16.
#pragma once

#include "api/backend.h"
#include "cpu/gemm/gemm.h"

namespace sightline::cpu {

struct ProjectorLayer {
  int64_t in = 0, out = 0;
  PackedB forward, backward;    // K x N: in x out, out x in
  const float* bias = nullptr;  // folded if it is the first layer's; padded with zeros to kRowPad
};

struct Projector {
  const Kernels* kernels = nullptr;
  ProjectorOptions options;
  ProjectorLayer layers[kMaxLayers];

  // Trainable with an affine norm only: what the gradients of gamma, beta and W1 need.
  const float* gamma = nullptr;
  const float* beta = nullptr;
  const float* w1_plain = nullptr;  // [out,in] compact

  Projector() = default;
  Projector(const Projector&) = delete;
  Projector& operator=(const Projector&) = delete;
  ~Projector();

  int64_t width() const { return layers[0].in; }  // of the hidden states
  const ProjectorLayer& last() const { return layers[options.layers - 1]; }
  int64_t features() const { return last().out; }
  int64_t widest() const;  // of all rows

  // Allocates for these shapes; false if there is no memory. Then read() fills it, any number of
  // times.
  bool allocate(const Kernels& table, const ProjectorViews& weights, const ProjectorOptions& opts);
  void read(const ProjectorViews& weights, int threads);

 private:
  struct Storage;
  Storage layout(void* base) const;
  void fold_bias(const Storage& storage, const View2& w1, int threads);

  bool affine_ = false;
  void* memory_ = nullptr;
};

}  // namespace sightline::cpu
