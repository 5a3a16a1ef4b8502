// The alignment loss and its gradients against the textbook in fp64, against an oracle that rounds
// the same operands, and against finite differences.
#include "alignment_checks.h"
#include "isa_test.h"

using namespace sightline;

namespace {

using Shape = AlignmentProblem::Shape;

constexpr Shape kShapes[] = {{1, 1, 7, 13, 5},      {2, 7, 13, 31, 7},   {3, 5, 65, 33, 31},
                             {1, 31, 207, 65, 130}, {2, 65, 64, 48, 96}, {1, 13, 300, 270, 257}};

}  // namespace

TEST(the_mirrored_oracle_without_rounding_is_the_textbook) {
  AlignmentProblem problem({2, 9, 33, 20, 17}, {});
  problem.with_mask = true;
  problem.training = true;
  problem.options.dropout = 0.3f;
  const ReferenceResult textbook = problem.reference();
  const ReferenceResult folded = mirrored_alignment(
      problem.reference_projector(), problem.reference_input(), [](double x) { return x; });
  CHECK_LE(std::abs(textbook.loss - folded.loss), 1e-13);
  CHECK_LE(relative_error(folded.hidden, textbook.hidden), 1e-12);
  for (size_t i = 0; i < 8; ++i) {
    CHECK_LE(relative_error(weight_gradients(folded, i), weight_gradients(textbook, i)), 1e-12);
  }
}

TEST(every_shape_and_dtype_matches_the_oracle) {
  for (const Shape& shape : kShapes) {
    for (int bits = 0; bits < 16; ++bits) {
      const auto type = [&](int bit) { return bits & bit ? kBf16 : kF32; };
      AlignmentProblem problem(shape, {type(1), type(2), type(4), kF32, type(8)});
      problem.with_mask = bits & 1;
      CHECK_EQ(problem.run(), SL_OK);
      check_problem(problem);
    }
  }
}

TEST(gradients_accumulate_scale_or_are_left_out) {
  for (DType type : {kF32, kBf16}) {
    AlignmentProblem problem({2, 17, 40, 33, 20}, {type, kF32, kF32, kF32, kF32});
    problem.with_mask = true;
    problem.grad_scale = -0.37f;
    const float plain_loss = [&] {
      problem.with_gradient = false;
      const std::vector<uint8_t> before = problem.grad_hidden.bytes;
      CHECK_EQ(problem.run(), SL_OK);
      CHECK(before == problem.grad_hidden.bytes);
      return problem.loss;
    }();
    problem.with_gradient = true;
    CHECK_EQ(problem.run(), SL_OK);
    check_problem(problem);
    CHECK_EQ(problem.loss, plain_loss);  // the gradient changes no bit of the loss
    problem.grad_hidden.fill(Normal(5, 1e-2));
    const Values before = problem.grad_hidden.values();
    problem.accumulate_hidden = true;
    CHECK_EQ(problem.run(), SL_OK);
    check_problem(problem, {before, {}});
  }
}

TEST(weight_gradients_match_the_oracle) {
  for (const Shape& shape : {Shape{2, 7, 13, 31, 7}, Shape{3, 31, 65, 50, 48}}) {
    for (int bits = 0; bits < 32; ++bits) {
      const auto type = [&](int bit) { return bits & bit ? kBf16 : kF32; };
      AlignmentProblem problem(shape, {type(1), kF32, type(2), type(4), type(8)});
      problem.options.trainable = true;
      problem.options.dropout = bits & 16 ? 0.25f : 0.f;
      problem.training = true;
      problem.with_mask = true;
      problem.with_weight_gradients = true;
      problem.with_gradient = bits & 2;
      problem.accumulate_weights = bits & 1;
      std::vector<Values> before;
      for (const TestTensor& t : problem.gradients) before.push_back(t.values());
      CHECK_EQ(problem.run(), SL_OK);
      check_problem(problem, {{}, before});
    }
  }
}

TEST(weight_gradients_add_up_over_chunks) {
  AlignmentProblem problem({5, 450, 12, 16, 8}, {});  // 2250 tokens: chunks of 1024, 1024 and 202
  problem.options.trainable = true;
  problem.options.dropout = 0.1f;
  problem.training = problem.with_weight_gradients = problem.with_mask = true;
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
}

TEST(dropout_is_drawn_only_when_training) {
  AlignmentProblem problem({1, 20, 16, 24, 12}, {});
  problem.options.trainable = true;
  problem.options.dropout = 0.5f;
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
  const float still = problem.loss;
  problem.training = true;
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
  CHECK(problem.loss != still);
  problem.with_gradient = false;  // the mask is drawn in a loss-only call too
  const float both = problem.loss;
  CHECK_EQ(problem.run(), SL_OK);
  CHECK_EQ(problem.loss, both);
  problem.seed += 1;
  CHECK_EQ(problem.run(), SL_OK);
  CHECK(problem.loss != both);
}

// Every description: norms with and without their parameters, widths that differ, one to four
// layers, with biases and without.
std::vector<AlignmentProblem::Build> builds() {
  using Build = AlignmentProblem::Build;
  std::vector<Build> all;
  for (int kind = 0; kind < kActivations; ++kind) {
    const auto activation = static_cast<Activation>(kind);
    all.push_back({{37, 21, 52}, 4, Norm::kRms, activation, true, false, true});
    all.push_back({{29}, 2, Norm::kNone, activation, false, false, false});
    all.push_back({{}, 3, Norm::kNone, activation, false, false, true});  // REPA
  }
  for (Norm norm : {Norm::kNone, Norm::kLayer, Norm::kRms}) {
    const bool affine = norm != Norm::kNone;
    all.push_back({{}, 1, norm, Activation::kSilu, affine, affine, true});
    all.push_back({{50, 33}, 3, norm, Activation::kGelu, false, false, true});
    all.push_back({{18}, 2, norm, Activation::kGeluTanh, affine, false, false});
  }
  return all;
}

TEST(every_projector_matches_the_oracle) {
  for (const AlignmentProblem::Build& build : builds()) {
    for (int bits = 0; bits < 8; ++bits) {
      const bool trainable = bits & 1;
      const DType type = bits & 2 ? kBf16 : kF32, compute = bits & 4 ? kBf16 : kF32;
      AlignmentProblem problem({2, 13, 41, 48, 19}, {type, type, type, type, compute}, build);
      problem.options.trainable = problem.with_weight_gradients = problem.training = trainable;
      problem.options.dropout = trainable ? 0.2f : 0.f;
      problem.with_mask = trainable;
      CHECK_EQ(problem.run(), SL_OK);
      check_problem(problem);
      if (compute == kF32) check_outputs(problem, problem.reference(), 1e-5);  // ReLU, too
    }
  }
}

// The third oracle: central differences of the reference's loss check the reference's gradients,
// and those of the kernel's own loss check the kernel's.
void check_finite_differences(const AlignmentProblem::Build& build) {
  AlignmentProblem problem({1, 3, 6, 5, 4}, {}, build);
  problem.options.trainable = problem.with_weight_gradients = problem.with_mask = true;
  problem.options.dropout = 0.2f;
  problem.training = true;
  problem.mask.fill([] { return 0.7; });
  CHECK_EQ(problem.run(), SL_OK);
  const ReferenceResult expected = problem.reference();
  const ReferenceProjector projector = problem.reference_projector();
  const ReferenceInput input = problem.reference_input();
  for (size_t i = 0; i < input.hidden.size(); ++i) {
    const double step = 1e-5;
    ReferenceInput low = input, high = input;
    low.hidden[i] -= step, high.hidden[i] += step;
    const double slope =
        (reference_alignment(projector, high).loss - reference_alignment(projector, low).loss) /
        (2 * step);
    CHECK_LE(std::abs(slope - expected.hidden[i]), 1e-8);
    CHECK_LE(std::abs(slope - problem.grad_hidden.get(int64_t(i) / 6, int64_t(i) % 6)), 1e-6);
  }
  if (build.activation == Activation::kRelu) return;  // a step of a weight goes across its kink
  AlignmentProblem probe = problem;
  probe.with_gradient = probe.with_weight_gradients = false;
  for (size_t t = 0; t < probe.weights.size(); ++t) {
    for (int64_t i = 0; i < probe.weights[t].rows; ++i) {
      for (int64_t j = 0; j < probe.weights[t].cols; ++j) {
        const double value = problem.weights[t].get(i, j), step = 1.0 / 128;
        const auto loss_at = [&](double x) {
          probe.weights[t].set(i, j, x);
          CHECK_EQ(probe.run(), SL_OK);
          return double(probe.loss);
        };
        // Fourth order: truncation step^4 f'''''/30, noise of fp32 losses 1e-7 / step.
        const double slope = (8 * (loss_at(value + step) - loss_at(value - step)) -
                              (loss_at(value + 2 * step) - loss_at(value - 2 * step))) /
                             (12 * step);
        probe.weights[t].set(i, j, value);
        CHECK_LE(std::abs(slope - problem.gradients[t].get(i, j)), 1e-4);
      }
    }
  }
}

TEST(gradients_match_finite_differences) {
  check_finite_differences({});
  for (int kind = 0; kind < kActivations; ++kind) {
    const auto activation = static_cast<Activation>(kind);
    check_finite_differences({{7, 5, 6}, 4, Norm::kRms, activation, true, true, true});
    check_finite_differences({{8}, 2, Norm::kNone, activation, false, false, false});
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
