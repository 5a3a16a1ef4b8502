// What a call of the CUDA alignment loss asks of its caller, on the host emulator: workspace,
// scratch in the caller's gradient, the stream.
#include "alignment_emulated.h"

using namespace sightline;

TEST(a_workspace_of_the_caller) {
  AlignmentProblem problem({1, 3, 64, 64, 64}, {kF32, kF32, kF32, kF32, kBf16});
  alignas(256) static uint8_t memory[1 << 18];
  problem.context.workspace = memory;
  problem.context.workspace_bytes = 1000;
  CHECK_EQ(run(problem, kAmpere), SL_INVALID_ARGUMENT);
  problem.context.workspace_bytes = sizeof memory;
  CHECK_EQ(run(problem, kAmpere), SL_OK);
  check(problem);
}

// The formula of scratch.cuh, restated.
TEST(scratch_is_as_small_as_it_says) {
  struct Case {
    Shape shape;
    DType hidden, compute;
    bool gradient, accumulate, gaps;
  };
  const Case cases[] = {
      {{2, 70, 96, 48, 32}, kBf16, kBf16, true, false, false},
      {{2, 70, 48, 96, 128}, kBf16, kBf16, true, false, false},
      {{2, 70, 96, 48, 32}, kBf16, kF32, true, false, false},
      {{2, 70, 96, 40, 32}, kF32, kBf16, true, false, false},
      {{2, 70, 96, 48, 32}, kBf16, kBf16, true, true, false},
      {{2, 70, 96, 48, 32}, kBf16, kBf16, true, false, true},
      {{2, 70, 96, 48, 32}, kBf16, kBf16, false, false, false},
      {{2, 70, 100, 48, 32}, kBf16, kBf16, true, false, false},  // not by vectors
  };
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    for (const Case& c : cases) {
      AlignmentProblem problem(c.shape, {c.hidden, c.hidden, kF32, kF32, c.compute});
      align_rows(problem, c.gaps ? 8 * c.shape.d : 0);
      problem.with_gradient = c.gradient;
      problem.accumulate_hidden = c.accumulate;
      const Values before = problem.grad_hidden.values();
      const std::vector<uint8_t> bits = problem.grad_hidden.bytes;
      uint64_t bytes = 0;
      problem.context.workspace_query = &bytes;
      CHECK_EQ(run(problem, device), kWorkspaceQueried);
      problem.context.workspace_query = nullptr;
      const auto up = [](int64_t x) { return (x + 7) / 8 * 8; };
      const auto piece = [](int64_t n) { return (n + 255) / 256 * 256; };
      const int64_t r = c.shape.b * c.shape.n, e = c.compute == kF32 ? 4 : 2;
      const int64_t d = up(c.shape.d), p = up(c.shape.p), z = up(c.shape.z);
      const int64_t xhat = piece(r * d * e), a2 = piece(r * p * e);
      const int64_t v = c.gradient ? piece(r * p * e) : 0;
      const int64_t sums = c.gradient ? piece(8 * r * ((p + 127) / 128)) : 0;
      const int64_t expected = piece(8) + piece(4 * r) + piece(8 * r) +
                               piece(4 * ((r + 127) / 128)) + sums + piece(r * p * e) +
                               piece(r * std::max(p, z) * e) + std::max(xhat, v + a2);
      CHECK_EQ(static_cast<int64_t>(bytes), expected);
      CHECK_EQ(run(problem, device), SL_OK);
      check(problem, {before, {}});
      if (!c.gradient) CHECK(bits == problem.grad_hidden.bytes);
    }
  }
}

// Gradients whose rows are wider apart than they are long.
TEST(a_gradient_keeps_its_gaps) {
  for (const cuda::Device& device : {kAmpere, kHopper}) {
    for (DType type : {kBf16, kF32}) {
      AlignmentProblem problem({1, 200, 96, 48, 64}, {type, type, kF32, kF32, type});
      align_rows(problem, 0);
      problem.grad_hidden = TestTensor(type, 1, 200, 96, 24, 0);
      Normal normal(3, 2.5, 0);
      int64_t i = 0;  // the second block of rows is normalised first
      problem.hidden.fill([&] { return normal() + (i++ < 128 * 96 ? 0 : 500); });
      CHECK_EQ(run(problem, device), SL_OK);
      check(problem);
    }
  }
}

TEST(a_query_for_workspace) {
  for (bool trainable : {false, true}) {
    AlignmentProblem problem({2, 70, 72, 80, 64}, {kBf16, kF32, kF32, kF32, kBf16});
    problem.options.trainable = problem.with_weight_gradients = trainable;
    const std::vector<uint8_t> before = problem.grad_hidden.bytes;
    uint64_t bytes = 0;
    problem.context.workspace_query = &bytes;
    emu::machine().launches = 0;
    emu::device() = kHopper;
    void* handle = nullptr;
    CHECK_EQ(
        cuda::alignment_create(AlignmentProblem::views(problem.weights), problem.options, &handle),
        SL_OK);
    emu::machine().launches = 0;
    CHECK_EQ(cuda::alignment_loss(handle, problem.context, problem.call()), kWorkspaceQueried);
    CHECK_EQ(emu::machine().launches, 0);
    CHECK(before == problem.grad_hidden.bytes);
    problem.context.workspace_query = nullptr;
    std::vector<uint8_t> memory(bytes + 512, 0x33);
    uint8_t* aligned = memory.data() + (256 - reinterpret_cast<uintptr_t>(memory.data()) % 256);
    problem.context.workspace = aligned;
    problem.context.workspace_bytes = bytes - 1;
    CHECK_EQ(cuda::alignment_loss(handle, problem.context, problem.call()), SL_INVALID_ARGUMENT);
    problem.context.workspace_bytes = bytes;
    CHECK_EQ(cuda::alignment_loss(handle, problem.context, problem.call()), SL_OK);
    cuda::alignment_destroy(handle);
    check(problem);
    for (const uint8_t* p = aligned + bytes; p < memory.data() + memory.size(); ++p) {
      CHECK_EQ(*p, 0x33);
    }
  }
}

TEST(descriptions_without_a_kernel_are_refused) {
  using Build = AlignmentProblem::Build;
  const AlignmentProblem::Types types{kBf16, kBf16, kF32, kF32, kBf16};
  const Build builds[] = {{{}, 2},
                          {{}, 3, Norm::kRms},
                          {{}, 3, Norm::kNone, Activation::kSilu, false, false},
                          {{}, 3, Norm::kLayer, Activation::kGelu},
                          {{}, 3, Norm::kLayer, Activation::kSilu, false, false},
                          {{}, 3, Norm::kLayer, Activation::kSilu, true, false},
                          {{}, 3, Norm::kLayer, Activation::kSilu, true, true, false},
                          {{64, 72}}};
  for (const Build& build : builds) {
    AlignmentProblem problem({1, 3, 64, 64, 64}, types, build);
    CHECK_EQ(run(problem, kHopper), SL_UNSUPPORTED);
  }
  for (int other = 0; other < 2; ++other) {
    AlignmentProblem problem({1, 3, 64, 64, 64}, types);
    problem.loss_options.kind = other ? LossKind::kL2 : LossKind::kCosine;
    problem.loss_options.spatial_teacher = !other;
    CHECK_EQ(run(problem, kHopper), SL_UNSUPPORTED);
  }
}

TEST(update_is_work_on_the_stream) {
  AlignmentProblem problem({1, 40, 64, 72, 64}, {kF32, kF32, kF32, kF32, kBf16});
  emu::device() = kHopper;
  void* handle = nullptr;
  emu::device_waits() = 0;
  CHECK_EQ(
      cuda::alignment_create(AlignmentProblem::views(problem.weights), problem.options, &handle),
      SL_OK);
  CHECK_EQ(emu::device_waits(), 2);
  for (size_t i = 0; i < 8; ++i) problem.weights[i].fill(Normal(60 + i, 0.4));
  emu::device_waits() = 0;
  emu::machine().streams.clear();
  int stream = 0;
  problem.context.stream = &stream;
  CHECK_EQ(
      cuda::alignment_update(handle, problem.context, AlignmentProblem::views(problem.weights)),
      SL_OK);
  CHECK_EQ(cuda::alignment_loss(handle, problem.context, problem.call()), SL_OK);
  CHECK_EQ(emu::device_waits(), 0);
  CHECK(emu::machine().streams == std::set<void*>{&stream});
  cuda::alignment_destroy(handle);
  check(problem);
}

TEST_MAIN()
