// LoRA through the C ABI on the emulated kernels: the GPU they believe in, and what a call must
// meet.
#pragma once

#include "cuda/lora/lora.h"
#include "emulated_backend.h"
#include "emulated_runtime.h"
#include "emulator.h"
#include "lora_checks.h"

namespace abi {

using emu::kAmpere, emu::kHopper;

inline void use(const sightline::cuda::Device& device) {
  emu::device() = device;
  emu::backend().lora_forward = sightline::cuda::lora_forward;
  emu::backend().lora_backward = sightline::cuda::lora_backward;
  emu::backend().lora_merge = sightline::cuda::lora_merge;
}

// Roundings of up to 2^-9 average over the sums; in those of a few terms, where cancellation is a
// matter of luck, they may not.
inline double bound_of(const LoraCase& c) {
  const LoraShape& shape = c.shape;
  const bool few_terms = shape.k < 16 || shape.leading.empty();
  // At most four roundings of 2^-11 in a row: two operands of dy B, then T and A or x.
  if (c.context.fp32_precision == SL_FP32_TF32 && shape.x == DType::kFloat32) {
    return few_terms ? 0x1p-8 : 0x1p-9;
  }
  if (shape.x != DType::kFloat32 && few_terms) return 0x1p-6;
  return tolerance(shape.x);
}

inline void check_call(LoraCase& c, bool accumulate = false) {
  check_forward_call(c, bound_of(c));
  check_backward_call(c, accumulate, bound_of(c));
}

inline void check_shape(const LoraShape& shape, uint64_t seed, bool accumulate = false,
                        int32_t fp32_precision = SL_FP32_IEEE) {
  LoraCase c(shape, seed);
  c.move_to({SL_CUDA, 0});
  c.context.fp32_precision = fp32_precision;
  check_call(c, accumulate);
}

}  // namespace abi
