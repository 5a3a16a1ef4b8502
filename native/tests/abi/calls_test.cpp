// Calls as they should be, queries for workspace, handles, and what the library tells of itself.
#include <set>
#include <thread>

#include "abi/expect.h"

using namespace abi;

TEST(every_call_is_valid_as_built) {
  const CallPtr calls[] = {forward(), backward(),  delta(), loss(),
                           create(),  optimizer(), step(),  merge_call(1)};
  for (const CallPtr& call : calls) {
    bool kept = false;
    CHECK_EQ(call->run(&kept), SL_OK);
    CHECK(kept);
  }
}

// A query changes nothing and tells what the same call then takes. Optimizers and new
// weights need none.
TEST(a_query_gives_what_the_call_needs) {
  const std::function<CallPtr()> with[] = {forward, backward, delta, loss,
                                           [] { return merge_call(8); }};
  for (const auto& make : with) {
    CallPtr call = make();
    call->context.workspace_query = &call->workspace_needed;
    bool kept = false;
    CHECK_EQ(call->run(&kept), SL_OK);
    CHECK(kept);
    CHECK_GE(call->workspace_needed, 65u);
    std::vector<char> memory(call->workspace_needed);
    call->context.workspace_query = nullptr;
    call->context.workspace = memory.data();
    call->context.workspace_bytes = memory.size() - 65;  // 64 are for any address
    CHECK_EQ(call->run(&kept), SL_INVALID_ARGUMENT);
    CHECK(message_has("workspace_bytes: "));
    CHECK(message_has(("expected at least " + std::to_string(memory.size())).c_str()));
    call->context.workspace_bytes = memory.size();
    CHECK_EQ(call->run(&kept), SL_OK);
  }
  const std::function<CallPtr()> without[] = {step, [] { return alignment_update_call(9); }};
  for (const auto& make : without) {
    CallPtr call = make();
    call->workspace_needed = 7;
    call->context.workspace_query = &call->workspace_needed;
    bool kept = false;
    CHECK_EQ(call->run(&kept), SL_OK);
    CHECK(kept);
    CHECK_EQ(call->workspace_needed, 0u);
    if (call->adamw == nullptr) continue;
    int64_t steps[2] = {7, 7};
    CHECK_EQ(sl_adamw_get_steps(call->adamw, steps, 2), SL_OK);
    CHECK(steps[0] == 0 && steps[1] == 0);
  }
  CallPtr broken = forward();  // a query is checked as the call is
  broken->context.workspace_query = &broken->workspace_needed;
  broken->at("linears[0].a").shape[1] = 4;
  CHECK_EQ(broken->invoke(), SL_INVALID_ARGUMENT);
}

TEST(handles_that_are_not_alive_are_refused) {
  alignas(64) static char memory[256];
  CallPtr aligned = loss(), stepping = step();
  CallPtr destroyed = create(), gone = optimizer();
  CHECK_EQ(destroyed->invoke(), SL_OK);
  CHECK_EQ(gone->invoke(), SL_OK);
  sl_alignment_destroy(destroyed->alignment);
  sl_adamw_destroy(gone->adamw);
  const void* handles[] = {memory,
                           reinterpret_cast<void*>(8),
                           reinterpret_cast<void*>(-1),
                           destroyed->alignment,
                           gone->adamw,
                           stepping->adamw};
  for (const void* handle : handles) {
    auto* alignment = static_cast<sl_alignment*>(const_cast<void*>(handle));
    CHECK_EQ(sl_alignment_loss(alignment, nullptr, &aligned->alignment_args), SL_INVALID_ARGUMENT);
    CHECK(message_has("expected a live handle from sl_alignment_create"));
    CHECK_EQ(sl_alignment_update(alignment, nullptr, &aligned->weights), SL_INVALID_ARGUMENT);
    sl_alignment_destroy(alignment);  // does nothing
    if (handle == stepping->adamw) continue;
    auto* adamw = static_cast<sl_adamw*>(const_cast<void*>(handle));
    CHECK_EQ(sl_adamw_step(adamw, nullptr, &stepping->step_args), SL_INVALID_ARGUMENT);
    CHECK(message_has("expected a live handle from sl_adamw_create"));
    int64_t steps[2];
    CHECK_EQ(sl_adamw_get_steps(adamw, steps, 2), SL_INVALID_ARGUMENT);
    CHECK_EQ(sl_adamw_set_steps(adamw, steps, 2), SL_INVALID_ARGUMENT);
    sl_adamw_destroy(adamw);
  }
  destroyed->alignment = nullptr;
  gone->adamw = nullptr;
  CHECK_EQ(sl_alignment_loss(nullptr, nullptr, &aligned->alignment_args), SL_INVALID_ARGUMENT);
  CHECK(message_has("alignment: NULL"));
  CHECK_EQ(sl_alignment_loss(aligned->alignment, nullptr, nullptr), SL_INVALID_ARGUMENT);
  CHECK(message_has("args: NULL"));
  CHECK_EQ(sl_adamw_step(nullptr, nullptr, nullptr), SL_INVALID_ARGUMENT);
  sl_alignment_destroy(nullptr);
  sl_adamw_destroy(nullptr);
  CHECK_EQ(aligned->invoke(), SL_OK);  // the live ones still are
  CHECK_EQ(stepping->invoke(), SL_OK);
}

// A handle that was given out again would make a destroyed one somebody else's.
TEST(handles_are_never_given_out_twice) {
  std::set<const void*> seen;
  for (int i = 0; i < 100; ++i) {
    CallPtr a = create(), b = optimizer();
    CHECK_EQ(a->invoke(), SL_OK);
    CHECK_EQ(b->invoke(), SL_OK);
    CHECK(seen.insert(a->alignment).second);
    CHECK(seen.insert(b->adamw).second);
  }
}

TEST(a_handle_is_destroyed_while_calls_use_it) {
  for (int i = 0; i < 200; ++i) {
    CallPtr first = loss(), second = loss();
    sl_alignment* const shared = first->alignment;
    std::thread caller([&] {
      for (;;) {
        const sl_status status = sl_alignment_loss(shared, nullptr, &second->alignment_args);
        if (status == SL_OK) continue;
        CHECK_EQ(status, SL_INVALID_ARGUMENT);
        return;
      }
    });
    sl_alignment_destroy(shared);
    caller.join();
    first->alignment = nullptr;
  }
}

TEST(version_errors_and_capabilities_are_told) {
  CHECK_EQ(std::string(sl_version()), "0.1.0");
  CHECK_EQ(sl_capabilities(SL_CPU, nullptr), SL_INVALID_ARGUMENT);
  CHECK(message_has("out: NULL"));
  sl_capability c;
  CHECK_EQ(sl_capabilities(7, &c), SL_INVALID_ARGUMENT);
  CHECK(message_has("device_type: 7, expected 1 (CPU) or 2 (CUDA)"));
  CHECK_EQ(sl_capabilities(SL_CPU, &c), SL_OK);
  CHECK_EQ(c.available, 1);
  CHECK_EQ(c.device_count, 1);
  CHECK_GE(c.max_threads, 1);
  CHECK(c.implementation[0] != '\0');
  CHECK(message_has("device_type: 7"));  // a success leaves the last message
}

TEST_MAIN()
