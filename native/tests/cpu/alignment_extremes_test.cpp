// The alignment loss at the ends: outliers, overflow, nothing to align, numbers that are not
// finite.
#include "alignment_checks.h"
#include "isa_test.h"

using namespace sightline;

TEST(outlier_channels_huge_means_and_zero_rows_keep_tolerance) {
  for (DType compute : {kF32, kBf16}) {
    for (DType hidden_type : {kF32, kBf16}) {
      AlignmentProblem problem({1, 40, 96, 64, 48}, {hidden_type, kF32, kF32, kF32, compute});
      for (int64_t i = 0; i < 40; ++i) {
        for (int64_t j : {3, 77}) problem.hidden.set(i, j, 1000 * problem.hidden.get(i, j));
      }
      CHECK_EQ(problem.run(), SL_OK);
      check_problem(problem);
    }
  }
  // bf16 cannot hold a unit spread around 1e4, so the huge mean is a matter of fp32.
  for (double mean : {1e3, 1e4, -1e4}) {
    AlignmentProblem problem({1, 40, 96, 64, 48}, {});
    problem.hidden.fill(Normal(21, 1, mean));
    CHECK_EQ(problem.run(), SL_OK);
    check_problem(problem);
  }
  AlignmentProblem problem({1, 9, 32, 24, 16}, {});
  for (int64_t j = 0; j < 32; ++j) problem.hidden.set(4, j, 0);
  for (int64_t j = 0; j < 16; ++j) problem.teacher.set(6, j, 0);
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
  CHECK_EQ(problem.cosine.get(0, 6), 0.0);
}

TEST(norms_that_overflow_fp32_stay_finite) {
  AlignmentProblem problem({1, 6, 32, 24, 16}, {});
  for (int64_t j = 0; j < 16; ++j) problem.teacher.set(2, j, 1e30 * problem.teacher.get(2, j));
  for (int64_t j = 0; j < 32; ++j) problem.hidden.set(3, j, 1e25 * problem.hidden.get(3, j));
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
}

TEST(a_projection_below_the_norm_floor_is_divided_by_the_floor) {
  AlignmentProblem problem({1, 3, 8, 8, 4}, {});
  problem.weights[6].fill([] { return 0.0; });
  // |z| = 8e-13 for the first, 0 for the second: divided by the floor, no projection term.
  for (double z : {4e-13, 0.0}) {
    problem.weights[7].fill([&] { return z; });
    problem.options.trainable = problem.with_weight_gradients = true;
    problem.with_gradient = false;
    CHECK_EQ(problem.run(), SL_OK);
    CHECK_LE(std::abs(problem.loss - problem.reference().loss), 1e-6);
    CHECK_LE(
        relative_error(problem.gradients[7].values(), problem.reference().weights.layers[2].bias),
        1e-5);
  }
}

TEST(empty_batches_and_masks_of_zeros_give_zeros) {
  for (bool accumulate : {false, true}) {
    AlignmentProblem problem({2, 5, 12, 9, 7}, {kBf16, kF32, kF32, kBf16, kF32});
    problem.options.trainable = problem.with_weight_gradients = true;
    problem.with_mask = true;
    problem.mask.fill([] { return 0.0; });
    problem.accumulate_hidden = problem.accumulate_weights = accumulate;
    const AlignmentProblem before = problem;
    CHECK_EQ(problem.run(), SL_OK);
    CHECK_EQ(problem.loss, 0.f);
    const ReferenceResult expected = problem.reference();
    for (int64_t i = 0; i < 10; ++i) {
      CHECK_LE(std::abs(problem.cosine.get(i / 5, i % 5) - expected.cosine[size_t(i)]), 1e-5);
    }
    if (accumulate) {
      CHECK(problem.grad_hidden.bytes == before.grad_hidden.bytes);
      for (size_t i = 0; i < 8; ++i) CHECK(problem.gradients[i].bytes == before.gradients[i].bytes);
    } else {
      for (double value : problem.grad_hidden.values()) CHECK_EQ(value, 0.0);
      for (const TestTensor& t : problem.gradients)
        for (double value : t.values()) CHECK_EQ(value, 0.0);
    }
  }
  using Shape = AlignmentProblem::Shape;
  for (Shape shape : {Shape{0, 5, 12, 9, 7}, Shape{2, 0, 12, 9, 7}}) {
    AlignmentProblem problem(shape, {});
    problem.options.trainable = problem.with_weight_gradients = true;
    CHECK_EQ(problem.run(), SL_OK);
    CHECK_EQ(problem.loss, 0.f);
    for (const TestTensor& t : problem.gradients)
      for (double value : t.values()) CHECK_EQ(value, 0.0);
  }
}

TEST(non_finite_inputs_stay_visible) {
  for (DType compute : {kF32, kBf16}) {
    for (double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
      for (int where = 0; where < 4; ++where) {
        AlignmentProblem problem({1, 30, 20, 17, 11}, {kF32, kF32, kF32, kF32, compute});
        if (where == 0) problem.hidden.set(7, 5, bad);
        if (where == 1) problem.teacher.set(7, 10, bad);
        if (where == 2) problem.weights[4].set(3, 2, bad);
        if (where == 3) problem.with_mask = true, problem.mask.set(0, 7, bad);
        CHECK_EQ(problem.run(), SL_OK);
        CHECK(!std::isfinite(problem.loss));
        for (int64_t i = 0; i < 30; ++i) {
          // Only its own token sees a bad input, every token a bad weight or a bad sum of the mask.
          const bool hit = where >= 2 || i == 7;
          bool finite = true;
          for (int64_t j = 0; j < 20; ++j) finite &= std::isfinite(problem.grad_hidden.get(i, j));
          // With an infinite sum of weights the other tokens' share is 0.
          if (where == 3 && std::isinf(bad) && i != 7) continue;
          CHECK_EQ(finite, !hit);
          if (where < 3) CHECK_EQ(std::isfinite(problem.cosine.get(0, i)), !hit);
        }
      }
    }
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
