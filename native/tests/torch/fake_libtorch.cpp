// Stand-ins for libtorch's stable C ABI, for torch_load_test.
//   FAKE_VERSION  major << 8 | minor; without it, the function that tells the version is missing
//   FAKE_NOTHING  no function at all
//   FAKE_ALL      every function that the operators need; FAKE_REFUSES: which fails, of these.
//                 Another source of the same library may define some of them better.
#include "torch/libtorch.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

#ifdef FAKE_VERSION
EXPORT uint64_t aoti_torch_abi_version() {
  return uint64_t{FAKE_VERSION >> 8} << 56 | uint64_t{FAKE_VERSION & 0xff} << 48;
}
#endif

#ifdef FAKE_ALL
#ifndef FAKE_REFUSES
#define FAKE_REFUSES ""
#endif
#define DEFINE(name, ...) \
  EXPORT __attribute__((weak)) int32_t name() { return __builtin_strcmp(#name, FAKE_REFUSES) == 0; }
SIGHTLINE_LIBTORCH_FUNCTIONS(DEFINE)
#elif !defined(FAKE_NOTHING)
EXPORT int32_t aoti_torch_device_type_cpu() { return 0; }
#endif
