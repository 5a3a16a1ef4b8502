// The handle of one element type: its weights, and calls into the chain.
#pragma once

#include <limits>

#include "cuda/alignment/alignment.h"
#include "cuda/alignment/chain.cuh"
#include "cuda/runtime/status.h"
#include "cuda/runtime/workspace.h"

namespace sightline::cuda {

template <class T>
class TypedAlignment final : public AlignmentHandle {
 public:
  TypedAlignment(const Device& device, const ProjectorViews& weights,
                 const ProjectorOptions& options)
      : device_(device), sizes_(weights), options_(options) {}
  ~TypedAlignment() override {
    if (memory_ != nullptr) device_free(memory_);
  }

  int device() const override { return device_.id; }

  sl_status allocate() {
    Arena measure(nullptr);
    ProjectorWeights<T>(measure, sizes_, options_.trainable);
    return status_of(device_allocate(measure.bytes(), &memory_), "weights of the projector");
  }

  // Weights may have been written on any stream, and the handle may be used on any.
  sl_status read_waiting(const ProjectorViews& weights) {
    sl_status status = status_of(device_wait(), "weights of the projector");
    if (status == SL_OK) status = update({}, weights);
    return status == SL_OK ? status_of(device_wait(), "weights of the projector") : status;
  }

  sl_status update(const sl_context& context, const ProjectorViews& weights) override {
    Stream stream(device_, static_cast<cudaStream_t>(context.stream));
    this->weights().read(stream, weights, sizes_);
    return status_of(stream.error(), "weights of the projector");
  }

  sl_status loss(const sl_context& context, const AlignmentCall& call) const override {
    const int64_t tokens = call.hidden.total_rows();
    if (tokens > std::numeric_limits<int32_t>::max()) {
      return set_error(SL_UNSUPPORTED, "hidden: %lld tokens, at most 2^31 - 1 on CUDA",
                       static_cast<long long>(tokens));
    }
    ScratchNeeds needs{};
    needs.tokens = tokens;
    needs.rows = static_cast<int>(AlignmentChain<T>::chunk_rows(options_, tokens));
    needs.trainable = options_.trainable;
    needs.weight_gradients = call.grad_weights.layers[0].weight.data != nullptr;
    needs.gradient = needs.weight_gradients || call.grad_hidden.data != nullptr;
    Arena measure(nullptr);
    AlignmentScratch<T>(measure, sizes_, needs);
    void* memory = nullptr;
    if (const sl_status status = acquire_workspace(device_.id, context, measure.bytes(), &memory);
        status != SL_OK) {
      return status;
    }
    Arena arena(memory);
    const AlignmentScratch<T> scratch(arena, sizes_, needs);
    const ProjectorWeights<T> weights = this->weights();
    Stream stream(device_, static_cast<cudaStream_t>(context.stream));
    AlignmentChain<T>(stream, gemm_path<T>(context), sizes_, weights, options_, call, scratch)
        .run();
    return status_of(stream.error(), "alignment loss");
  }

 private:
  ProjectorWeights<T> weights() const {
    Arena arena(memory_);
    return ProjectorWeights<T>(arena, sizes_, options_.trainable);
  }

  const Device& device_;
  ProjectorSizes sizes_;
  ProjectorOptions options_;
  void* memory_ = nullptr;
};

template <class T>
std::unique_ptr<AlignmentHandle> make_alignment(int device, const ProjectorViews& weights,
                                                const ProjectorOptions& options,
                                                sl_status* status) {
  cudaError_t error = cudaSuccess;
  const Device* of = device_of(device, &error);
  if (of == nullptr) {
    *status = status_of(error, "device");
    return nullptr;
  }
  auto handle = std::make_unique<TypedAlignment<T>>(*of, weights, options);
  *status = handle->allocate();
  if (*status == SL_OK) *status = handle->read_waiting(weights);
  if (*status != SL_OK) return nullptr;
  return handle;
}

}  // namespace sightline::cuda
