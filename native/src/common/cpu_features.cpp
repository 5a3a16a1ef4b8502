#include "common/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>
#endif

namespace sightline {
namespace {

#if defined(__x86_64__)
// XCR0 as the operating system set it: which registers it saves on a context switch. A CPU flag
// alone is not enough, a kernel or hypervisor may leave the state component off.
uint64_t enabled_state_components() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

CpuFeatures detect() {
  CpuFeatures features;
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
  const bool osxsave = ecx & (1u << 27), avx = ecx & (1u << 28), fma = ecx & (1u << 12);
  if (!osxsave || !avx) return features;
  constexpr uint64_t kYmm = 0x6;   // XMM, YMM
  constexpr uint64_t kZmm = 0xe6;  // and opmask, upper ZMM0-15, ZMM16-31
  const uint64_t state = enabled_state_components();
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return features;
  const uint32_t max_subleaf = eax;
  const bool avx2 = ebx & (1u << 5);
  features.avx2_fma = avx2 && fma && (state & kYmm) == kYmm;
  constexpr uint32_t kFoundation = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F DQ BW VL
  features.avx512 =
      features.avx2_fma && (ebx & kFoundation) == kFoundation && (state & kZmm) == kZmm;
  if (features.avx512 && max_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) {
    features.avx512_bf16 = eax & (1u << 5);
  }
  return features;
}
#else
CpuFeatures detect() { return {}; }
#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace sightline
