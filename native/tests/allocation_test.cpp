// After its first call a thread computes without allocating: counted at operator new and
// aligned_alloc.
#include <atomic>
#include <cstdlib>
#include <new>

#include "alignment_fixture.h"
#include "harness.h"
#include "isa_test.h"

namespace {
std::atomic<int64_t> allocations{0};
}

void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

extern "C" void* aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

using namespace sightline;

TEST(the_counters_count) {
  const int64_t before = allocations;
  AlignmentProblem problem({1, 4, 8, 8, 4}, {});
  const int64_t made = allocations;
  CHECK_GE(made - before, 1);
  AlignmentProblem::Handle handle(problem);
  CHECK_GE(allocations - made, 2);  // the handle and its packed weights
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
    const int64_t warm = allocations;
    for (int i = 0; i < 3; ++i) CHECK_EQ(run(), SL_OK);
    CHECK_EQ(allocations - warm, 0);
  }
}

TEST_MAIN_IF(isa_skip_reason())
