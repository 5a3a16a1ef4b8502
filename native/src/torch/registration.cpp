// Registers the operators when the library is loaded. A constructor cannot fail well, so what went
// wrong is kept for sl_torch_error, and sl_torch_register tries again.
#include <mutex>

#include "torch/libtorch.h"
#include "torch/operators.h"
#include "torch/values.h"

#define SL_TORCH_API extern "C" __attribute__((visibility("default")))

namespace sightline::torch_ops {
namespace {

struct Registration {
  std::mutex mutex;
  bool done = false;
  std::string error;
  LibTorch torch;
};

Registration& registration() {
  static auto* instance = new Registration;  // libtorch keeps the operators to the process' end
  return *instance;
}

std::string define(const LibTorch& torch) {
  const Operator* const groups[] = {kAlignmentOperators, kLoraOperators, kMergeOperators,
                                    kAdamWOperators};
  // Never deleted: deleting one takes its operators away.
  TorchLibrary *schemas = nullptr, *cpu = nullptr, *cuda = nullptr, *any = nullptr;
  const auto open = [&](const char* key, TorchLibrary** out) {
    return torch.aoti_torch_library_init_impl("sightline", key, __FILE__, __LINE__, out) == 0;
  };
  if (torch.aoti_torch_library_init_def("sightline", __FILE__, __LINE__, &schemas) != 0) {
    return "libtorch has a library of operators named sightline already, expected that one copy of "
           "libsightline_torch is loaded";
  }
  if (!open("CPU", &cpu) || !open("CUDA", &cuda) || !open("CompositeExplicitAutograd", &any)) {
    return "libtorch refused a library of kernels for sightline";
  }
  for (const Operator* group : groups) {
    for (const Operator* op = group; op->schema != nullptr; ++op) {
      const std::string name = op->name;
      if (torch.aoti_torch_library_def(schemas, op->schema) != 0) {
        return "libtorch refused the schema " + std::string(op->schema);
      }
      const auto implement = [&](TorchLibrary* library) {
        return torch.torch_library_impl(library, op->name, op->kernel, kAbiVersion) == 0;
      };
      const bool done = op->handle_only ? implement(any) : implement(cpu) && implement(cuda);
      if (!done) return "libtorch refused the kernel of " + name;
    }
  }
  return "";
}

bool try_to_register() {
  Registration& r = registration();
  const std::lock_guard<std::mutex> lock(r.mutex);
  if (r.done) return true;
  r.error = find_libtorch(r.torch);
  if (r.error.empty()) r.error = define(r.torch);
  r.done = r.error.empty();
  return r.done;
}

__attribute__((constructor)) void on_load() { try_to_register(); }

}  // namespace

const LibTorch& libtorch() { return registration().torch; }

}  // namespace sightline::torch_ops

// 1 if torch.ops.sightline is there, else 0. Done when the library is loaded; worth calling only
// where libtorch was loaded after it.
SL_TORCH_API int32_t sl_torch_register() { return sightline::torch_ops::try_to_register() ? 1 : 0; }

// How products of fp32 tensors are computed from now on, in every thread: an sl_fp32_precision. 0
// if it is none, and nothing changes. What torch is set to cannot be asked through its stable ABI.
SL_TORCH_API int32_t sl_torch_set_fp32_precision(int32_t precision) {
  if (precision != SL_FP32_IEEE && precision != SL_FP32_TF32) return 0;
  sightline::torch_ops::fp32_precision() = precision;
  return 1;
}

// Why the operators are not there, "" if they are. Valid until the next sl_torch_register.
SL_TORCH_API const char* sl_torch_error() {
  return sightline::torch_ops::registration().error.c_str();
}
