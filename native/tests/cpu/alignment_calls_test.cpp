// How the alignment loss is called: threads, parallel regions, new weights, workspace.
#include "alignment_checks.h"
#include "isa_test.h"

using namespace sightline;

TEST(same_bits_for_every_thread_count) {
  for (DType compute : {kF32, kBf16}) {
    for (bool trainable : {false, true}) {
      AlignmentProblem problem({3, 125, 70, 90, 50}, {kF32, kF32, kF32, kF32, compute});
      problem.options.trainable = problem.with_weight_gradients = trainable;
      problem.options.dropout = trainable ? 0.1f : 0.f;
      problem.training = trainable;
      problem.with_mask = true;
      AlignmentProblem::Handle handle(problem);
      problem.context.num_threads = 1;
      CHECK_EQ(problem.run(handle), SL_OK);
      const AlignmentProblem one = problem;
      for (int threads : {2, 3, 7}) {
        problem.context.num_threads = threads;
        problem.grad_hidden.fill(Normal(8));
        problem.loss = NAN;
        CHECK_EQ(problem.run(handle), SL_OK);
        CHECK_EQ(problem.loss, one.loss);
        CHECK(problem.cosine.bytes == one.cosine.bytes);
        CHECK(problem.grad_hidden.bytes == one.grad_hidden.bytes);
        for (size_t i = 0; i < 8; ++i) CHECK(problem.gradients[i].bytes == one.gradients[i].bytes);
      }
    }
  }
}

TEST(a_parallel_region_around_it_changes_no_bit) {
  AlignmentProblem alone({2, 160, 90, 80, 40}, {});  // enough work for three threads
  AlignmentProblem::Handle handle(alone);
  CHECK_EQ(alone.run(handle), SL_OK);
  std::vector<AlignmentProblem> nested(4, alone);
  for (AlignmentProblem& problem : nested) problem.context.num_threads = 3;
#pragma omp parallel for num_threads(4)
  for (size_t i = 0; i < nested.size(); ++i) nested[i].run(handle);
  for (const AlignmentProblem& problem : nested) {
    CHECK_EQ(problem.loss, alone.loss);
    CHECK(problem.grad_hidden.bytes == alone.grad_hidden.bytes);
  }
}

TEST(update_reads_the_weights_again) {
  AlignmentProblem problem({1, 12, 20, 17, 11}, {kF32, kF32, kBf16, kF32, kF32});
  problem.options.trainable = true;
  AlignmentProblem::Handle handle(problem);
  for (size_t i = 0; i < 8; ++i) problem.weights[i].fill(Normal(60 + i, 0.4));
  CHECK_EQ(
      kCpuBackend.alignment_update(handle.alignment, {}, AlignmentProblem::views(problem.weights)),
      SL_OK);
  CHECK_EQ(problem.run(handle), SL_OK);
  check_problem(problem);
}

TEST(the_callers_workspace_gives_the_same_bits) {
  AlignmentProblem problem({1, 12, 20, 17, 11}, {});
  char byte = 0;
  problem.context.workspace = &byte;
  problem.context.workspace_bytes = 1;
  const AlignmentProblem before = problem;
  CHECK_EQ(problem.run(), SL_INVALID_ARGUMENT);
  const std::string message = sl_last_error();
  CHECK(message.find("workspace_bytes: 1, expected at least ") != std::string::npos);
  CHECK(problem.grad_hidden.bytes == before.grad_hidden.bytes);
  CHECK(problem.cosine.bytes == before.cosine.bytes);
  const size_t needed = std::stoul(message.substr(message.find("least ") + 6));
  std::vector<char> memory(needed + 64, 0x33);
  problem.context.workspace = memory.data() + 1;  // any alignment
  problem.context.workspace_bytes = needed;
  CHECK_EQ(problem.run(), SL_OK);
  check_problem(problem);
  CHECK_EQ(memory[0], 0x33);
  for (size_t i = needed + 1; i < memory.size(); ++i) CHECK_EQ(memory[i], 0x33);
}

// What lies in scratch before a call, or beside its rows, reaches no result.
TEST(a_query_gives_what_the_call_needs) {
  constexpr char kNanByte = -1;
  for (bool trainable : {false, true}) {
    for (int threads : {1, 3}) {
      AlignmentProblem problem({3, 50, 120, 117, 90}, {});
      if (threads == 3) {  // the loss that needs the most
        problem.loss_options.kind = LossKind::kInfoNce;
        problem.loss_options.spatial_teacher = problem.with_mask = true;
        problem.loss_options.false_negatives = 0.2f;
      }
      problem.options.trainable = problem.with_weight_gradients = trainable;
      problem.context.num_threads = threads;
      const AlignmentProblem before = problem;
      uint64_t bytes = 0;
      problem.context.workspace_query = &bytes;
      AlignmentProblem::Handle handle(problem);
      CHECK_EQ(problem.run(handle), kWorkspaceQueried);
      CHECK(problem.grad_hidden.bytes == before.grad_hidden.bytes);
      CHECK(problem.cosine.bytes == before.cosine.bytes);
      CHECK(std::isnan(problem.loss));  // as it was
      problem.context.workspace_query = nullptr;
      std::vector<char> memory(bytes + 128, kNanByte);
      problem.context.workspace = memory.data() + 1;  // any alignment
      problem.context.workspace_bytes = bytes - 128;
      CHECK_EQ(problem.run(handle), SL_INVALID_ARGUMENT);
      problem.context.workspace_bytes = bytes;
      CHECK_EQ(problem.run(handle), SL_OK);
      check_problem(problem);
      CHECK_EQ(memory[0], kNanByte);
      for (size_t i = bytes + 1; i < memory.size(); ++i) CHECK_EQ(memory[i], kNanByte);
    }
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
