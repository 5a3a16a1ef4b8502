// The alignment loss on the emulated kernels: a run on a GPU that they believe in, and what its
// outputs must meet.
#pragma once

#include "alignment_checks.h"
#include "cuda/alignment/alignment.h"
#include "emulated_runtime.h"
#include "emulator.h"

namespace sightline {

using emu::kAmpere, emu::kHopper;

using Shape = AlignmentProblem::Shape;

inline sl_status run(AlignmentProblem& problem, const cuda::Device& device) {
  emu::device() = device;
  void* handle = nullptr;
  const sl_status created =
      cuda::alignment_create(AlignmentProblem::views(problem.weights), problem.options, &handle);
  if (created != SL_OK) return created;
  const sl_status status = cuda::alignment_loss(handle, problem.context, problem.call());
  cuda::alignment_destroy(handle);
  return status;
}

// fp32: the library's promise. 16 bits: the promise where layers are wide enough for roundings to
// average. A gradient has ten bf16 roundings of up to 2^-8 behind it (u, a1, v, a2, z, dz, dv, du,
// xhat, weights); over narrow layers they can come near their sum. An output in bf16 adds its own.
// Through tf32, whose unit roundoff is a quarter of bf16's, a quarter of the promise; over narrow
// layers the sum of twelve of 2^-11 (xhat, a1, a2, dz, dv, du and the weights beside each).
inline double bound_of(const AlignmentProblem& problem) {
  const Shape& s = problem.shape;
  const bool wide = std::min({s.d, s.p, s.z}) >= 64;
  if (problem.types.compute != kF32) return wide ? 8e-3 : 10. / 256;
  if (problem.context.fp32_precision == SL_FP32_TF32) return wide ? 2e-3 : 12 * 0x1p-11;
  return 1e-5;
}

inline void check(const AlignmentProblem& problem, const AlignmentBefore& before = {}) {
  check_outputs(problem, problem.reference(), bound_of(problem), before);
}

// Rows that start on 16 bytes, as torch's do: the products read hidden states in place.
inline void align_rows(AlignmentProblem& problem, int64_t batch_gap) {
  const Shape& s = problem.shape;
  problem.hidden = TestTensor(problem.types.hidden, s.b, s.n, s.d, 0, batch_gap);
  problem.grad_hidden = TestTensor(problem.types.hidden, s.b, s.n, s.d, 0, batch_gap);
  problem.teacher = TestTensor(problem.types.teacher, s.b, s.n, s.z, 0, 0);
  problem.hidden.fill(Normal(1, 1.5, 0.3));
  problem.teacher.fill(Normal(2));
}

}  // namespace sightline
