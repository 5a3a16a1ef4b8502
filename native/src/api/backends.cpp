#include "api/backends.h"

#include <cstdio>
#include <cstdlib>

#include "api/arguments.h"

#if defined(_WIN32)
#define SIGHTLINE_HAS_DLOPEN 0
#else
#define SIGHTLINE_HAS_DLOPEN 1
#include <dlfcn.h>

#include <string>
#endif

namespace sightline {
namespace {

sl_status set_error_from_backend(sl_status status, const char* message) {
  return set_error(status, "%s", message);
}

#if SIGHTLINE_HAS_DLOPEN

constexpr char kCudaLibrary[] = "libsightline_cuda.so";

// The folder of the library (or program) that holds this function, with its slash.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&set_error_from_backend), &info) == 0) return "";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// SIGHTLINE_CUDA_LIBRARY if set, else the library beside this one, else wherever the loader finds
// it. The first that opens wins; `cause` tells why none did.
void* open_cuda_library(std::string& cause) {
  const auto open = [&cause](const std::string& path) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* error = dlerror();
      cause = error != nullptr ? error : "cannot be opened";
    }
    return library;
  };
  if (const char* path = std::getenv("SIGHTLINE_CUDA_LIBRARY"); path != nullptr && *path != '\0') {
    void* library = open(path);
    if (library == nullptr) cause = "SIGHTLINE_CUDA_LIBRARY: " + cause;
    return library;
  }
  const std::string beside = own_folder() + kCudaLibrary;
  if (void* library = open(beside); library != nullptr) return library;
  // Its absence there is normal; a failure to load what is there is the cause worth telling.
  const std::string cause_beside = cause;
  if (void* library = open(kCudaLibrary); library != nullptr) return library;
  if (cause_beside.find("No such file") == std::string::npos) cause = cause_beside;
  return nullptr;
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
