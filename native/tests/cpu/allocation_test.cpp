// After its first call a thread computes without allocating.
#include "alignment_fixture.h"
#include "allocations.h"
#include "harness.h"
#include "isa_test.h"

using namespace sightline;

TEST(the_counters_count) {
  const int64_t before = allocations::made;
  AlignmentProblem problem({1, 4, 8, 8, 4}, {});
  const int64_t made = allocations::made;
  CHECK_GE(made - before, 1);
  AlignmentProblem::Handle handle(problem);
  CHECK_GE(allocations::made - made, 2);  // the handle and its packed weights
}

TEST(a_warm_call_allocates_nothing) {
  for (bool trainable : {false, true}) {
    AlignmentProblem problem({2, 70, 60, 50, 40}, {});
    problem.options.trainable = problem.with_weight_gradients = trainable;
    AlignmentProblem::Handle handle(problem);
    const AlignmentCall call = problem.call();
    const auto run = [&] {
      return kCpuBackend.alignment_loss(handle.alignment, problem.context, call);
    };
    CHECK_EQ(run(), SL_OK);
    const int64_t warm = allocations::made;
    for (int i = 0; i < 3; ++i) CHECK_EQ(run(), SL_OK);
    CHECK_EQ(allocations::made - warm, 0);
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
