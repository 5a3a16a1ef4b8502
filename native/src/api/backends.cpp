#include "api/backends.h"

#include <cstdio>
#include <cstdlib>

#include "api/arguments.h"

#if defined(_WIN32)
#define SIGHTLINE_HAS_DLOPEN 0
#else
#define SIGHTLINE_HAS_DLOPEN 1
#include <dlfcn.h>

#include <cinttypes>
#include <fstream>
#include <string>
#endif

namespace sightline {
namespace {

sl_status set_error_from_backend(sl_status status, const char* message) {
  return set_error(status, "%s", message);
}

#if SIGHTLINE_HAS_DLOPEN

constexpr char kCudaLibrary[] = "libsightline_cuda.so";

// The file mapped at `address`, "" where the system does not tell.
std::string mapped_file(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    int path = 0;
    std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &begin, &end, &path);
    const auto at = reinterpret_cast<uintptr_t>(address);
    if (begin <= at && at < end) return line.substr(static_cast<size_t>(path));
  }
  return "";
}

// The folder of the library (or program) that holds this function, with its slash.
std::string own_folder() {
  const auto here = reinterpret_cast<const void*>(&set_error_from_backend);
  Dl_info info;
  std::string file = dladdr(here, &info) != 0 ? info.dli_fname : "";
  // A program started, or a library found, by a relative path: relative to a folder that need not
  // be the current one any more.
  if (file.empty() || file[0] != '/') file = mapped_file(here);
  return file.substr(0, file.rfind('/') + 1);
}

// SIGHTLINE_CUDA_LIBRARY if set, else the library beside this one: never what happens to lie in the
// current folder or on the loader's paths, where others may put things. `cause` tells why not.
void* open_cuda_library(std::string& cause) {
  const char* named = std::getenv("SIGHTLINE_CUDA_LIBRARY");
  const bool is_named = named != nullptr && *named != '\0';
  const std::string path = is_named ? named : own_folder() + kCudaLibrary;
  void* library = nullptr;
  if (path[0] != '/') {
    cause = path + ", expected an absolute path";
  } else if (library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); library == nullptr) {
    const char* error = dlerror();
    cause = error != nullptr ? error : path + " cannot be opened";
  }
  if (is_named) cause = "SIGHTLINE_CUDA_LIBRARY: " + cause;
  return library;
}

LoadedBackend load_cuda_backend() {
  LoadedBackend loaded;
  std::string cause;
  void* library = open_cuda_library(cause);
  if (library != nullptr) {
    static constexpr BackendHost host{set_error_from_backend};
    const auto entry = reinterpret_cast<BackendEntry>(dlsym(library, "sightline_backend"));
    const Backend* table = entry != nullptr ? entry(&host) : nullptr;
    if (entry == nullptr) {
      cause = "the CUDA library has no symbol sightline_backend";
    } else if (table == nullptr) {
      cause = "the CUDA library gave no backend";
    } else if (table->version != kBackendVersion) {
      cause = "the CUDA library has backend version " + std::to_string(table->version) +
              ", expected " + std::to_string(kBackendVersion);
    } else {
      loaded.table = table;  // stays open for the life of the process
      return loaded;
    }
    dlclose(library);
  }
  std::snprintf(loaded.cause, sizeof loaded.cause, "%s", cause.c_str());
  return loaded;
}

#else

LoadedBackend load_cuda_backend() {
  return {nullptr, "this build of Sightline cannot load a CUDA library"};
}

#endif

}  // namespace

const LoadedBackend& loaded_cuda_backend() {
  static const LoadedBackend loaded = load_cuda_backend();
  return loaded;
}

sl_status find_backend(const sl_device& device, const Backend** out) {
  if (device.type == SL_CPU) {
    *out = &kCpuBackend;
    return SL_OK;
  }
  const LoadedBackend& loaded = loaded_cuda_backend();
  if (loaded.table == nullptr) {
    return set_error(SL_UNAVAILABLE, "%s: backend unavailable: %s", device_name(device).chars,
                     loaded.cause);
  }
  // Devices neither come nor go while the process runs, so they are asked for once.
  static const sl_capability capability = [&loaded] {
    sl_capability c{};
    if (loaded.table->capabilities(&c) != SL_OK) {
      c = {};
      std::snprintf(c.unavailability_cause, sizeof c.unavailability_cause,
                    "the CUDA library failed to report its devices");
    }
    return c;
  }();
  if (!capability.available) {
    return set_error(SL_UNAVAILABLE, "%s: backend unavailable: %s", device_name(device).chars,
                     capability.unavailability_cause);
  }
  if (device.id >= capability.device_count) {
    return set_error(SL_INVALID_ARGUMENT,
                     "device cuda:%d, expected an id below %d, the devices here", device.id,
                     capability.device_count);
  }
  *out = loaded.table;
  return SL_OK;
}

}  // namespace sightline
