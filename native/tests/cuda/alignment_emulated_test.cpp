// The CUDA alignment loss end to end on the host emulator, the launch sequence and every kernel as
// they are, against the fp64 textbook (alignment_reference.h).
#include "alignment_emulated.h"
#include "cuda/alignment/scratch.cuh"

using namespace sightline;

TEST(fp32_shapes) {
  for (const Shape& shape : {Shape{1, 1, 7, 13, 5}, Shape{2, 7, 13, 31, 7}, Shape{3, 5, 65, 33, 31},
                             Shape{2, 65, 64, 48, 96}, Shape{1, 13, 300, 270, 257}}) {
    for (DType type : {kF32, kBf16}) {
      AlignmentProblem problem(shape, {type, type, kF32, kF32, kF32});
      problem.with_mask = true;
      CHECK_EQ(run(problem, kAmpere), SL_OK);
      check(problem);
    }
  }
}

TEST(fp32_through_tf32) {
  for (const Shape& shape : {Shape{1, 1, 7, 13, 5}, Shape{3, 5, 65, 33, 31},
                             Shape{2, 65, 64, 72, 96}, Shape{1, 13, 300, 270, 257}}) {
    for (DType type : {kF32, kBf16}) {
      AlignmentProblem problem(shape, {type, type, kF32, kF32, kF32});
      problem.with_mask = true;
      CHECK_EQ(run(problem, kHopper), SL_OK);
      const Values exact = problem.grad_hidden.values();
      problem.context.fp32_precision = SL_FP32_TF32;
      CHECK_EQ(run(problem, kHopper), SL_OK);
      check(problem);
      CHECK_GE(relative_error(problem.grad_hidden.values(), exact), 5e-5);  // it was taken
    }
  }
}

TEST(trainable_through_tf32) {
  AlignmentProblem problem({2, 131, 72, 80, 96}, {kF32, kF32, kF32, kF32, kF32});
  problem.options.trainable = true;
  problem.options.dropout = 0.25f;
  problem.training = problem.with_mask = problem.with_weight_gradients = true;
  problem.context.fp32_precision = SL_FP32_TF32;
  CHECK_EQ(run(problem, kAmpere), SL_OK);
  check(problem);
}

TEST(sixteen_bit_shapes_on_both_paths) {
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    for (const Shape& shape :
         {Shape{1, 1, 7, 13, 5}, Shape{3, 5, 65, 33, 31}, Shape{2, 65, 64, 48, 96}}) {
      AlignmentProblem problem(shape, {kBf16, kF32, kF32, kF32, kBf16});
      problem.with_mask = shape.b == 3;
      problem.grad_scale = -0.37f;
      CHECK_EQ(run(problem, device), SL_OK);
      check(problem);
    }
  }
}

TEST(hidden_states_read_in_place) {
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    for (const Shape& shape : {Shape{2, 128, 72, 136, 56}, Shape{3, 70, 64, 48, 80}}) {
      AlignmentProblem problem(shape, {kBf16, kBf16, kF32, kF32, kBf16});
      align_rows(problem, 64);
      CHECK_EQ(run(problem, device), SL_OK);
      check(problem);
    }
  }
}

TEST(several_chunks_of_tokens) {
  AlignmentProblem exact({3, 1400, 16, 8, 8}, {kF32, kF32, kF32, kF32, kF32});
  exact.with_mask = true;
  CHECK_GE(exact.shape.b * exact.shape.n, cuda::kChunkRows + 1);
  CHECK_EQ(run(exact, kAmpere), SL_OK);
  check(exact);
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    AlignmentProblem problem({33, 128, 16, 16, 16}, {kBf16, kBf16, kF32, kF32, kBf16});
    // On one of them chunks lie in the caller's gradient, on the other it has gaps.
    align_rows(problem, device.hopper() ? 0 : 16);
    CHECK_EQ(run(problem, device), SL_OK);
    check(problem);
  }
}

TEST(large_means_are_normalised_first) {
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    AlignmentProblem problem({2, 128, 64, 64, 64}, {kBf16, kBf16, kF32, kF32, kBf16});
    align_rows(problem, 0);
    // The second block of 128 rows only: mean 500 with deviation 2.5 (bf16 steps are 2 there).
    Normal normal(3, 2.5, 0);
    Values values = problem.hidden.values();
    size_t i = 0;
    problem.hidden.fill([&] { return i++ < values.size() / 2 ? values[i - 1] : 500 + normal(); });
    CHECK_EQ(run(problem, device), SL_OK);
    check(problem);
  }
}

TEST(outlier_channels) {
  AlignmentProblem problem({1, 130, 96, 64, 64}, {kBf16, kBf16, kF32, kF32, kBf16});
  align_rows(problem, 0);
  Normal normal(4, 1, 0);
  size_t i = 0;
  problem.hidden.fill([&] { return normal() * (i++ % 96 == 5 ? 1000 : 1); });
  CHECK_EQ(run(problem, kHopper), SL_OK);
  check(problem);
}

TEST(cosine_inside_the_third_product) {
  for (int resident : {1, 3}) {
    emu::machine().resident_clusters = resident;
    AlignmentProblem problem({1, 300, 64, 64, 1000}, {kBf16, kBf16, kF32, kF32, kBf16});
    if (resident == 1) align_rows(problem, 0);  // the teacher comes as tiles
    problem.with_mask = true;
    CHECK_EQ(run(problem, kHopper), SL_OK);
    check(problem);
  }
  emu::machine().resident_clusters = 2;
}

TEST(accumulation_and_loss_only) {
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    AlignmentProblem problem({2, 17, 40, 48, 520}, {kBf16, kF32, kF32, kF32, kBf16});
    problem.with_gradient = false;
    const std::vector<uint8_t> before = problem.grad_hidden.bytes;
    CHECK_EQ(run(problem, device), SL_OK);
    CHECK(before == problem.grad_hidden.bytes);
    const float loss = problem.loss;
    problem.with_gradient = true;
    problem.accumulate_hidden = true;
    const Values hidden = problem.grad_hidden.values();
    CHECK_EQ(run(problem, device), SL_OK);
    CHECK_EQ(problem.loss, loss);
    check(problem, {hidden, {}});
  }
}

TEST(trainable_with_dropout) {
  for (DType compute : {kF32, kBf16}) {
    for (const cuda::Device& device : {kAmpere, kHopper}) {
      for (bool accumulate : {false, true}) {
        AlignmentProblem problem({2, 131, 65, 50, 48}, {kF32, kF32, kF32, kF32, compute});
        problem.options.trainable = true;
        problem.options.dropout = 0.25f;
        problem.training = problem.with_mask = problem.with_weight_gradients = true;
        problem.accumulate_weights = accumulate;
        std::vector<Values> before;
        for (const TestTensor& t : problem.gradients) before.push_back(t.values());
        CHECK_EQ(run(problem, device), SL_OK);
        check(problem, {{}, before});
      }
    }
  }
}

TEST(wide_trainable) {
  AlignmentProblem problem({1, 150, 200, 136, 72}, {kBf16, kBf16, kF32, kF32, kBf16});
  problem.options.trainable = true;
  problem.options.dropout = 0.1f;
  problem.training = problem.with_weight_gradients = true;
  CHECK_EQ(run(problem, kHopper), SL_OK);
  check(problem);
}

TEST(empty_batch_and_zero_weights) {
  for (int64_t n : {0, 5}) {
    AlignmentProblem problem({2, n, 24, 16, 8}, {kF32, kF32, kF32, kF32, kBf16});
    problem.with_mask = true;
    problem.mask.fill([] { return 0.0; });
    problem.options.trainable = problem.with_weight_gradients = true;
    CHECK_EQ(run(problem, kHopper), SL_OK);
    CHECK_EQ(problem.loss, 0.f);
    for (double g : problem.grad_hidden.values()) CHECK_EQ(g, 0);
    for (const TestTensor& t : problem.gradients) {
      for (double g : t.values()) CHECK_EQ(g, 0);
    }
  }
}

TEST(zero_teacher_rows_and_not_a_number) {
  AlignmentProblem problem({1, 3, 64, 64, 64}, {kF32, kF32, kF32, kF32, kBf16});
  size_t i = 0;
  Normal normal(9, 1, 0);
  problem.teacher.fill([&] { return i++ < 64 ? 0.0 : normal(); });
  CHECK_EQ(run(problem, kAmpere), SL_OK);
  CHECK_EQ(problem.cosine.get(0, 0), 0.);
  CHECK(std::isfinite(problem.loss));
  i = 0;
  problem.hidden.fill([&] { return i++ == 70 ? NAN : normal(); });
  CHECK_EQ(run(problem, kAmpere), SL_OK);
  CHECK(std::isnan(problem.loss));
  CHECK(std::isnan(problem.cosine.get(0, 1)));
  CHECK(std::isfinite(problem.cosine.get(0, 2)));
  CHECK(std::isnan(problem.grad_hidden.get(1, 6)));
}

TEST_MAIN()
