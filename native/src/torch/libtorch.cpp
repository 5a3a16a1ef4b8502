#include "torch/libtorch.h"

#include <dlfcn.h>

namespace sightline::torch_ops {
namespace {

// Loaded libraries that may hold the functions. Python loads libtorch so that everyone sees its
// symbols, a JVM so that nobody does: those are found by the names of their files.
class LoadedLibraries {
 public:
  LoadedLibraries() {
    handles_[0] = RTLD_DEFAULT;
    const char* const names[] = {"libtorch_cpu.so", "libtorch_cuda.so"};
    for (int i = 0; i < 2; ++i) handles_[i + 1] = dlopen(names[i], RTLD_NOLOAD | RTLD_LAZY);
  }
  ~LoadedLibraries() {
    for (int i = 1; i < 3; ++i)
      if (handles_[i] != nullptr) dlclose(handles_[i]);  // only our count of it
  }
  LoadedLibraries(const LoadedLibraries&) = delete;
  LoadedLibraries& operator=(const LoadedLibraries&) = delete;

  bool any_by_name() const { return handles_[1] != nullptr || handles_[2] != nullptr; }

  template <class Function>
  bool find(const char* name, Function*& out) const {
    for (int i = 0; i < 3; ++i) {
      if (i > 0 && handles_[i] == nullptr) continue;
      void* symbol = dlsym(handles_[i], name);
      if (symbol == nullptr) continue;
      out = reinterpret_cast<Function*>(symbol);
      return true;
    }
    return false;
  }

 private:
  void* handles_[3];
};

std::string version_text(uint64_t version) {
  return std::to_string(version >> 56) + "." + std::to_string(version >> 48 & 0xff) + "." +
         std::to_string(version >> 40 & 0xff);
}

}  // namespace

std::string find_libtorch(LibTorch& out) {
  const LoadedLibraries loaded;
  uint64_t (*abi_version)() = nullptr;
  if (!loaded.find("aoti_torch_abi_version", abi_version)) {
    int32_t (*older)() = nullptr;
    if (loaded.any_by_name() || loaded.find("aoti_torch_device_type_cpu", older)) {
      return "libtorch: a version before 2.9, expected 2.10 or later";
    }
    return "no libtorch is loaded in this process, expected libtorch 2.10 or later: import torch "
           "(Python) or load it (C++, Java) first";
  }
  if (abi_version() < kAbiVersion) {
    return "libtorch: version " + version_text(abi_version()) + ", expected 2.10 or later";
  }
#define SIGHTLINE_FIND(name, ...)                      \
  if (!loaded.find(#name, out.name)) {                 \
    return "libtorch " + version_text(abi_version()) + \
           ": no function " #name                      \
           ", "                                        \
           "expected that of libtorch 2.10 or later";  \
  }
  SIGHTLINE_LIBTORCH_FUNCTIONS(SIGHTLINE_FIND)
#undef SIGHTLINE_FIND
  loaded.find("torch_delete_stable_ivalue", out.torch_delete_stable_ivalue);
  loaded.find("aoti_torch_get_current_cuda_stream", out.aoti_torch_get_current_cuda_stream);
  return "";
}

}  // namespace sightline::torch_ops
