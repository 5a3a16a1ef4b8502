// Outputs of an alignment call, on any backend, beside those of a reference.
#pragma once

#include <algorithm>

#include "alignment_fixture.h"
#include "harness.h"

namespace sightline {

// What the outputs held before a call that accumulates.
struct AlignmentBefore {
  Values hidden;
  std::vector<Values> gradients;
};

// `bound` is of relative errors, `cosine_bound` of 1 - cosine, per gradient; an output in bf16 adds
// its own rounding. Where the gaps between rows lie nothing may have been written.
inline void check_outputs(const AlignmentProblem& problem, const ReferenceResult& expected,
                          double bound, const AlignmentBefore& before = {},
                          double cosine_bound = INFINITY, double kinks = 0) {
  // Cosines, and the loss as their mean, are near 0: errors are measured on the scale of 1.
  CHECK_LE(std::abs(problem.loss - expected.loss), bound * std::max(1.0, std::abs(expected.loss)));
  const Values cosine = problem.cosine.values();
  for (size_t i = 0; i < cosine.size(); ++i) {
    CHECK_LE(std::abs(cosine[i] - expected.cosine[i]), bound);
  }
  const auto check = [&](const TestTensor& actual, const Values& reference) {
    const double rounding = (actual.dtype == kBf16 ? 1.0 / 256 : 0) + kinks;
    if (reference_dot(reference, reference) < 1e-24) {  // what is left where all terms cancel
      const Values values = actual.values();
      CHECK_LE(reference_dot(values, values), 1e-12);
      return;
    }
    CHECK_LE(relative_error(actual.values(), reference), bound + rounding);
    CHECK_LE(one_minus_cosine(actual.values(), reference), cosine_bound);
  };
  if (problem.with_gradient) {
    check(problem.grad_hidden,
          problem.accumulate_hidden ? plus(before.hidden, expected.hidden) : expected.hidden);
  }
  for (size_t i = 0; problem.with_weight_gradients && i < problem.gradients.size(); ++i) {
    if (problem.gradients[i].rows == 0) continue;
    const Values gradient = weight_gradients(expected, i);
    check(problem.gradients[i],
          problem.accumulate_weights ? plus(before.gradients[i], gradient) : gradient);
  }
  CHECK(problem.grad_hidden.gaps_untouched());
  CHECK(problem.cosine.gaps_untouched());
}

// A finished run on the CPU beside its references.
inline void check_problem(const AlignmentProblem& problem, const AlignmentBefore& before = {}) {
  // fp32 products: 1e-5 of the fp64 reference.
  constexpr double kFp32Bound = 1e-5;
  // bf16 products against the oracle that rounds the same operands: fp32 arithmetic, and here and
  // there an operand that fp32 rounds to its other bf16 neighbour (2^-7 of one value among many).
  constexpr double kMirroredBound = 5e-4;
  // bf16 products against fp64: the library's promise, met where errors average over a wide layer.
  // On a handful of values twelve roundings of up to 2^-8 can sum to more, whatever the
  // implementation.
  constexpr double kBf16Bound = 8e-3, kCosineBound = 1e-4;

  if (problem.options.activation == Activation::kRelu) {
    // A unit within rounding of 0 may get the other derivative.
    const bool fp32 = problem.types.compute == kF32;
    check_outputs(problem, fp32 ? problem.reference() : mirrored_reference(problem),
                  fp32 ? kFp32Bound : kMirroredBound, before, 1e-3, 3e-2);
    return;
  }
  if (problem.types.compute == kF32) {
    check_outputs(problem, problem.reference(), kFp32Bound, before, kCosineBound);
    return;
  }
  // A gradient with more than one operation behind it (a temperature, a difference of rows, a teacher
  // that was normalised) weighs a neighbour's step more.
  const LossOptions& loss = problem.loss_options;
  const bool plain = loss.kind == LossKind::kCosine && !loss.spatial_teacher;
  check_outputs(problem, mirrored_reference(problem), (plain ? 1 : 6) * kMirroredBound, before,
                kCosineBound);
  if (problem.narrowest() >= 48) {
    check_outputs(problem, problem.reference(), kBf16Bound, before, kCosineBound);
  }
}

}  // namespace sightline
