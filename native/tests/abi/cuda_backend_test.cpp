// Finding the CUDA backend: one way per process, chosen by argv[1], since it is looked for once.
//   fake      SIGHTLINE_CUDA_LIBRARY names a stand-in that works
//   cause TEXT   it names one that does not; TEXT is part of the cause
//   real      the library that this build made: whatever it says must make sense
#include "abi/calls.h"
#include "harness.h"

using namespace abi;

namespace {

const char* mode = "";
const char* cause = "";

sl_capability cuda() {
  sl_capability c;
  CHECK_EQ(sl_capabilities(SL_CUDA, &c), SL_OK);
  return c;
}

void check_unavailable() {
  const sl_capability c = cuda();
  CHECK_EQ(c.available, 0);
  CHECK(std::strlen(c.unavailability_cause) > 10);
  const std::function<CallPtr()> calls[] = {
      [] { return lora_call(1, "forward"); }, [] { return lora_call(1, "backward"); },
      [] { return merge_call(1); },           [] { return alignment_create_call(1, false); },
      [] { return adamw_create_call(1); },
  };
  for (const auto& make : calls) {
    CallPtr call = make();
    call->move_to_cuda();
    bool kept = false;
    CHECK_EQ(call->run(&kept), SL_UNAVAILABLE);
    CHECK(kept);
    CHECK(message_has("cuda:0: backend unavailable: "));
    CHECK(message_has(c.unavailability_cause));
  }
  CallPtr broken = lora_call(1, "forward");  // what is wrong with a call comes first
  broken->move_to_cuda();
  broken->at("linears[0].a").shape[1] = 4;
  bool kept;
  CHECK_EQ(broken->run(&kept), SL_INVALID_ARGUMENT);
}

void test_fake() {
  const sl_capability c = cuda();
  CHECK_EQ(c.available, 1);
  CHECK_EQ(c.device_count, 2);
  CHECK_EQ(std::string(c.implementation), "fake");
  bool kept;
  CallPtr call = lora_call(1, "forward");
  call->move_to_cuda();
  CHECK_EQ(call->run(&kept), SL_OK);
  call = lora_call(1, "delta");
  call->move_to_cuda();
  CHECK_EQ(call->run(&kept), SL_UNSUPPORTED);
  CHECK_EQ(std::string(sl_last_error()), "fake: says why");
  call = lora_call(1, "backward");  // fails without a cause of its own
  call->move_to_cuda();
  CHECK_EQ(call->run(&kept), SL_UNSUPPORTED);
  CHECK(message_has("sl_lora_backward: no kernel for these arguments"));
  call = merge_call(1);
  call->move_to_cuda();
  CHECK_EQ(call->run(&kept), SL_OUT_OF_MEMORY);
  CHECK(message_has("sl_lora_merge: out of memory"));
  call = merge_call(1);
  call->move_to_cuda();
  for (const char* name : {"weight", "a", "b"}) call->at(name).device.id = 2;
  CHECK_EQ(call->run(&kept), SL_INVALID_ARGUMENT);
  CHECK(message_has("device cuda:2, expected an id below 2"));
}

void test_real() {
  const sl_capability c = cuda();
  std::printf("%s\n", c.available ? c.implementation : c.unavailability_cause);
  if (!c.available) {
    check_unavailable();
    // It was loaded: the cause is the driver's or the device's, not the loader's.
    CHECK(std::strstr(c.unavailability_cause, "open shared object") == nullptr);
    return;
  }
  CHECK_GE(c.device_count, 1);
  CHECK_EQ(c.native_bf16, 1);
}

}  // namespace

TEST(the_library_is_loaded_or_its_absence_explained) {
  if (std::strcmp(mode, "fake") == 0) {
    test_fake();
  } else if (std::strcmp(mode, "real") == 0) {
    test_real();
  } else {
    check_unavailable();
    CHECK(std::strstr(cuda().unavailability_cause, cause) != nullptr);
    std::printf("%s\n", cuda().unavailability_cause);
  }
}

int main(int argc, char** argv) {
  if (argc > 1) mode = argv[1];
  if (argc > 2) cause = argv[2];
  return harness::run(1, argv, nullptr);
}
