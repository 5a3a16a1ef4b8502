// How an operator calls the library for CUDA tensors: torch's current stream and device, workspace
// from torch's allocator, given back. With stand-ins for libtorch and for libsightline_cuda, which
// the environment variable SIGHTLINE_CUDA_LIBRARY names.
//   torch_cuda_test <libsightline_torch> <libtorch stand-in>
#include <dlfcn.h>

#include <cstring>
#include <stdexcept>

#include "fake_cuda_recorder.h"
#include "fake_torch_cuda.h"
#include "harness.h"

namespace {

using sightline::torch_ops::StableValue;

const char *operators_path, *torch_path;

template <class Function>
Function* symbol(const char* path, int flags, const char* name) {
  void* library = dlopen(path, flags | RTLD_NOW);
  if (library == nullptr) {
    std::printf("%s\n", dlerror());
    std::exit(1);
  }
  return reinterpret_cast<Function*>(dlsym(library, name));
}

fake::Torch& torch() {
  static fake::Torch* torch = symbol<fake::Torch*()>(torch_path, RTLD_GLOBAL, "fake_torch")();
  return *torch;
}

Recorded& recorded() {
  static Recorded* recorded =
      symbol<Recorded*()>(std::getenv("SIGHTLINE_CUDA_LIBRARY"), RTLD_LOCAL, "fake_recorded")();
  return *recorded;
}

StableValue bits(const void* pointer) { return reinterpret_cast<StableValue>(pointer); }
StableValue bits(double value) {
  StableValue out;
  std::memcpy(&out, &value, sizeof out);
  return out;
}

// lora_merge_ on tensors of device cuda:1.
void merge() {
  float data[3][16];
  fake::Tensor weight{{4, 3}, {3, 1}, 1, 1, data[0]}, a{{2, 3}, {3, 1}, 1, 1, data[1]};
  fake::Tensor b{{4, 2}, {2, 1}, 1, 1, data[2]};
  StableValue stack[] = {bits(&weight), bits(&a), bits(&b), bits(0.5), 0, 0};
  torch().cuda_kernels.at("lora_merge_")(stack, 6, 0);
}

}  // namespace

TEST(the_operators_register) {
  torch();
  const auto do_register = symbol<int32_t()>(operators_path, RTLD_LOCAL, "sl_torch_register");
  CHECK_EQ(do_register(), 1);
  CHECK_EQ(torch().cuda_kernels.count("lora_merge_"), 1u);
  CHECK_EQ(torch().cuda_kernels.count("alignment_loss"), 1u);
}

TEST(stream_device_and_workspace_are_those_of_torch) {
  recorded() = {};
  torch().made = torch().guards = 0;
  merge();
  CHECK_EQ(recorded().queries, 1);
  CHECK_EQ(recorded().calls, 1);
  const sl_context& context = recorded().context;
  CHECK_EQ(context.stream, fake::stream_of(1));
  CHECK_EQ(context.workspace_query, nullptr);
  CHECK_EQ(context.fp32_precision, SL_FP32_IEEE);
  CHECK_EQ(torch().made, 1);
  CHECK(context.workspace != nullptr);
  CHECK_GE(context.workspace_bytes, kRecorderBytes);
  CHECK_LE(context.workspace_bytes, kRecorderBytes + 3);
  CHECK(torch().live.empty());  // given back
  CHECK_EQ(torch().guards, 1);
  CHECK_EQ(torch().guards_alive, 0);
  CHECK_EQ(torch().guarded_device, 1);
}

TEST(a_failing_call_gives_its_workspace_back) {
  recorded() = {};
  recorded().answer = SL_OUT_OF_MEMORY;
  std::string message;
  try {
    merge();
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  CHECK(message.find("sl_lora_merge: out of memory") != std::string::npos);
  CHECK_EQ(recorded().calls, 1);
  CHECK(torch().live.empty());
  CHECK_EQ(torch().guards_alive, 0);
}

TEST(the_precision_of_fp32_is_passed_on) {
  const auto set =
      symbol<int32_t(int32_t)>(operators_path, RTLD_LOCAL, "sl_torch_set_fp32_precision");
  CHECK_EQ(set(SL_FP32_TF32), 1);
  CHECK_EQ(set(2), 0);
  recorded() = {};
  merge();
  CHECK_EQ(recorded().context.fp32_precision, SL_FP32_TF32);
  CHECK_EQ(set(SL_FP32_IEEE), 1);
  merge();
  CHECK_EQ(recorded().context.fp32_precision, SL_FP32_IEEE);
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  operators_path = argv[1], torch_path = argv[2];
  return harness::run(1, argv, nullptr);
}
