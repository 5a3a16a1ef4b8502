#include <cstdio>
#include <cstring>

#include "api/arguments.h"
#include "api/backends.h"

using namespace sightline;

#define SL_STRING_OF(x) #x
#define SL_STRING(x) SL_STRING_OF(x)

const char* sl_version(void) {
  return SL_STRING(SL_VERSION_MAJOR) "." SL_STRING(SL_VERSION_MINOR) "." SL_STRING(
      SL_VERSION_PATCH);
}

const char* sl_last_error(void) { return last_error(); }

sl_status sl_capabilities(int32_t device_type, sl_capability* out) {
  return guarded("sl_capabilities", [&] {
    SL_TRY(check_pointer({"out"}, out));
    if (device_type != SL_CPU && device_type != SL_CUDA) {
      return invalid({"device_type"}, "%d, expected %d (CPU) or %d (CUDA)", device_type, SL_CPU,
                     SL_CUDA);
    }
    sl_capability capability{};
    const Backend* backend = &kCpuBackend;
    if (device_type == SL_CUDA) {
      const LoadedBackend& loaded = loaded_cuda_backend();
      backend = loaded.table;
      std::memcpy(capability.unavailability_cause, loaded.cause, sizeof loaded.cause);
    }
    if (backend != nullptr) SL_TRY(backend->capabilities(&capability));
    *out = capability;
    return SL_OK;
  });
}
