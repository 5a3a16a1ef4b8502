// Every loss, with a teacher as it is and normalised over the tokens of its images, against the fp64
// formulas and their finite differences; InfoNCE over more than one piece of its targets.
#include "alignment_checks.h"
#include "isa_test.h"

using namespace sightline;

namespace {

std::vector<LossOptions> losses() {
  std::vector<LossOptions> all;
  for (bool spatial : {false, true}) {
    LossOptions loss;
    loss.spatial_teacher = spatial;
    all.push_back(loss);
    for (LossKind kind : {LossKind::kL2, LossKind::kSmoothL1}) {
      for (bool normalize : {false, true}) {
        loss.kind = kind;
        loss.normalize = normalize;
        loss.beta = normalize ? 0.11f : 0.7f;
        all.push_back(loss);
      }
    }
    for (Negatives negatives : {Negatives::kAll, Negatives::kImage, Negatives::kOthers}) {
      loss = {};
      loss.kind = LossKind::kInfoNce;
      loss.spatial_teacher = spatial;
      loss.negatives = negatives;
      loss.temperature = negatives == Negatives::kAll ? 0.07f : 0.5f;
      loss.false_negatives = negatives == Negatives::kOthers ? 0.f : 0.2f;
      all.push_back(loss);
    }
  }
  return all;
}

}  // namespace

TEST(every_loss_matches_the_oracle) {
  for (const LossOptions& loss : losses()) {
    for (int bits = 0; bits < 8; ++bits) {
      const DType type = bits & 1 ? kBf16 : kF32, compute = bits & 2 ? kBf16 : kF32;
      AlignmentProblem problem({3, 17, 41, 48, 35}, {type, type, kF32, kF32, compute});
      problem.loss_options = loss;
      problem.with_mask = bits & 4;
      problem.options.trainable = problem.with_weight_gradients = bits & 4;
      problem.grad_scale = bits & 1 ? 1.f : -0.4f;
      CHECK_EQ(problem.run(), SL_OK);
      check_problem(problem);
      AlignmentProblem alone = problem;
      alone.with_gradient = alone.with_weight_gradients = false;
      CHECK_EQ(alone.run(), SL_OK);
      CHECK_EQ(alone.loss, problem.loss);
    }
  }
}

TEST(infonce_goes_through_pieces_of_its_targets) {
  for (Negatives negatives : {Negatives::kAll, Negatives::kImage, Negatives::kOthers}) {
    for (float limit : {0.f, 0.4f}) {
      AlignmentProblem problem({5, 331, 9, 8, 24}, {});  // 1655 tokens: 768, 768 and 119
      problem.loss_options.kind = LossKind::kInfoNce;
      problem.loss_options.negatives = negatives;
      problem.loss_options.temperature = 0.1f;
      problem.loss_options.false_negatives = limit;
      problem.with_mask = true;
      CHECK_EQ(problem.run(), SL_OK);
      check_problem(problem);
      const AlignmentProblem one = problem;
      for (int threads : {1, 2, 5}) {
        problem.context.num_threads = threads;
        problem.grad_hidden.fill(Normal(8));
        CHECK_EQ(problem.run(), SL_OK);
        CHECK_EQ(problem.loss, one.loss);
        CHECK(problem.grad_hidden.bytes == one.grad_hidden.bytes);
      }
    }
  }
}

TEST(losses_match_finite_differences) {
  for (const LossOptions& loss : losses()) {
    AlignmentProblem problem({2, 3, 6, 5, 4}, {});
    problem.loss_options = loss;
    CHECK_EQ(problem.run(), SL_OK);
    const ReferenceProjector projector = problem.reference_projector();
    const ReferenceInput input = problem.reference_input();
    for (size_t i = 0; i < input.hidden.size(); ++i) {
      const double step = 1e-5;
      ReferenceInput low = input, high = input;
      low.hidden[i] -= step, high.hidden[i] += step;
      const double slope =
          (reference_alignment(projector, high).loss - reference_alignment(projector, low).loss) /
          (2 * step);
      CHECK_LE(std::abs(slope - problem.grad_hidden.get(int64_t(i) / 6, int64_t(i) % 6)),
               1e-5 * (1 + std::abs(slope)));
    }
  }
}

TEST(zero_rows_have_losses_too) {
  for (const LossOptions& loss : losses()) {
    AlignmentProblem problem({2, 9, 32, 24, 16}, {});
    problem.loss_options = loss;
    problem.weights[6].fill([] { return 0.0; });
    problem.weights[7].fill([] { return 0.0; });  // z = 0
    problem.options.trainable = problem.with_weight_gradients = true;
    for (int64_t j = 0; j < 16; ++j) problem.teacher.set(6, j, 0);
    CHECK_EQ(problem.run(), SL_OK);
    const ReferenceResult expected = problem.reference();
    CHECK_LE(std::abs(problem.loss - expected.loss), 1e-5 * std::max(1.0, std::abs(expected.loss)));
    CHECK_LE(relative_error(problem.gradients[6].values(), weight_gradients(expected, 6)), 1e-5);
  }
}

TEST(a_token_alone_is_0_after_spatial_normalisation) {
  AlignmentProblem problem({4, 1, 12, 9, 7}, {});
  problem.loss_options.kind = LossKind::kL2;
  problem.loss_options.spatial_teacher = true;
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
}

TEST(bad_teacher_rows_stay_visible) {
  for (LossOptions loss : losses()) {
    loss.false_negatives = 0;
    AlignmentProblem problem({2, 14, 20, 17, 11}, {});
    problem.loss_options = loss;
    problem.teacher.set(16, 10, NAN);
    CHECK_EQ(problem.run(), SL_OK);
    CHECK(std::isnan(problem.loss));
    for (int64_t i = 0; i < 28; ++i) {
      // Spatial statistics spread it over one feature of its image, negatives over what they are of.
      bool hit = loss.spatial_teacher ? i >= 14 : i == 16;
      if (loss.kind == LossKind::kInfoNce) {
        hit |=
            loss.negatives == Negatives::kAll || (loss.negatives == Negatives::kImage) == (i >= 14);
      }
      bool finite = true;
      for (int64_t j = 0; j < 20; ++j) finite &= std::isfinite(problem.grad_hidden.get(i, j));
      CHECK_EQ(finite, !hit);
    }
  }
}

TEST(empty_batches_and_masks_of_zeros_give_zeros) {
  for (const LossOptions& loss : losses()) {
    AlignmentProblem problem({2, 5, 12, 9, 7}, {});
    problem.loss_options = loss;
    problem.with_mask = true;
    problem.mask.fill([] { return 0.0; });
    CHECK_EQ(problem.run(), SL_OK);
    CHECK_EQ(problem.loss, 0.f);
    for (double value : problem.grad_hidden.values()) CHECK_EQ(value, 0.0);
    AlignmentProblem empty({0, 5, 12, 9, 7}, {});
    empty.loss_options = loss;
    CHECK_EQ(empty.run(), SL_OK);
    CHECK_EQ(empty.loss, 0.f);
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
