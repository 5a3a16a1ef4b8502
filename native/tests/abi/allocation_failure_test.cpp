// Every allocation of every call fails once, alone or with all that follow: SL_OUT_OF_MEMORY, no
// output touched, nothing leaked, and the same call works afterwards.
#include <thread>

#include "abi/expect.h"
#include "allocations.h"
#include "isa_test.h"

using namespace abi;

namespace {

// The call with its allocation `index` failing, in a thread of its own, which has no scratch yet.
// False if it has none of that index.
bool fail_allocation(const std::function<CallPtr()>& make, int64_t index, bool fails_on) {
  bool reached = false;
  std::thread([&] {
    CallPtr call = make();
    call->grads.reserve(2);  // the test's own
    const auto invoke = call->invoke;
    call->invoke = [&] {
      allocations::fails_on = fails_on;
      allocations::to_succeed = index;
      const sl_status status = invoke();
      allocations::to_succeed = allocations::kAll;
      return status;
    };
    bool kept = false;
    const sl_status status = call->run(&kept);
    reached = allocations::failed > 0;
    CHECK_EQ(status, reached ? SL_OUT_OF_MEMORY : SL_OK);
    CHECK(kept);
    if (reached) CHECK(message_has("memory"));
    call->invoke = invoke;
    CHECK_EQ(call->run(&kept), SL_OK);
    CHECK(kept);
  }).join();
  return reached;
}

}  // namespace

TEST(every_allocation_fails_once) {
  const std::function<CallPtr()> calls[] = {forward,
                                            backward,
                                            delta,
                                            loss,
                                            create,
                                            optimizer,
                                            step,
                                            [] { return merge_call(8); },
                                            [] { return alignment_create_call(9, true); },
                                            [] { return alignment_update_call(9); }};
  int64_t failures = 0;
  for (const auto& make : calls) {
    fail_allocation(make, allocations::kAll - 1, false);  // tables of handles have grown
    for (bool fails_on : {false, true}) {
      for (int64_t index = 0;; ++index) {
        const int64_t live = allocations::live;
        const bool reached = fail_allocation(make, index, fails_on);
        CHECK_EQ(allocations::live - live, 0);
        if (!reached) break;
        ++failures;
      }
    }
  }
  std::printf("%lld failed allocations\n", static_cast<long long>(failures));
  CHECK_GE(failures, 50);
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
