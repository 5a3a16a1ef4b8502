#include "torch/libtorch.h"

#include <dlfcn.h>

#if __has_include(<link.h>)
#include <link.h>
#endif

#include <cstring>
#include <vector>

namespace sightline::torch_ops {
namespace {

// Loaded libraries that may hold the functions. Python loads libtorch so that everyone sees its
// symbols, or, as a JVM does, so that nobody does: those are found by the names of their files,
// which distributions end in a version.
class LoadedLibraries {
 public:
  LoadedLibraries() {
#if __has_include(<link.h>)
    std::vector<std::string> paths;  // Opened later: the walk holds the loader's lock.
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* found) {
          const char* slash = std::strrchr(info->dlpi_name, '/');
          const char* name = slash == nullptr ? info->dlpi_name : slash + 1;
          if (std::strncmp(name, "libtorch_cpu", 12) == 0 ||
              std::strncmp(name, "libtorch_cuda", 13) == 0) {
            static_cast<std::vector<std::string>*>(found)->emplace_back(info->dlpi_name);
          }
          return 0;
        },
        &paths);
    for (const std::string& path : paths) {
      void* handle = dlopen(path.c_str(), RTLD_NOLOAD | RTLD_LAZY);
      if (handle != nullptr) handles_.push_back(handle);
    }
#endif
  }
  ~LoadedLibraries() {
    for (void* handle : handles_) dlclose(handle);  // only our count of it
  }
  LoadedLibraries(const LoadedLibraries&) = delete;
  LoadedLibraries& operator=(const LoadedLibraries&) = delete;

  bool any_by_name() const { return !handles_.empty(); }

  template <class Function>
  bool find(const char* name, Function*& out) const {
    void* symbol = dlsym(RTLD_DEFAULT, name);
    for (size_t i = 0; symbol == nullptr && i < handles_.size(); ++i) {
      symbol = dlsym(handles_[i], name);
    }
    out = symbol == nullptr ? out : reinterpret_cast<Function*>(symbol);
    return symbol != nullptr;
  }

 private:
  std::vector<void*> handles_;
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
