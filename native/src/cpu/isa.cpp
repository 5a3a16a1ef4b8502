#include "cpu/isa.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "api/backend.h"
#include "common/cpu_features.h"

namespace sightline::cpu {

extern const Kernels kGenericKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512Kernels, kAvx512Bf16Kernels;
#endif

namespace {

struct Candidate {
  const Kernels* table;
  bool available;
  const char* needs;
};

struct Choice {
  const Kernels* table = nullptr;
  char cause[192] = "";
};

Choice choose() {
#if defined(__x86_64__)
  const CpuFeatures& cpu = cpu_features();
  const Candidate candidates[] = {
      // worst first
      {&kGenericKernels, true, ""},
      {&kAvx2Kernels, cpu.avx2_fma, "AVX2 and FMA"},
      {&kAvx512Kernels, cpu.avx512, "AVX-512 F, BW, VL and DQ"},
      {&kAvx512Bf16Kernels, cpu.avx512_bf16, "AVX-512 F, BW, VL, DQ and AVX512_BF16"},
  };
#else
  const Candidate candidates[] = {{&kGenericKernels, true, ""}};
#endif
  Choice choice;
  const char* forced = std::getenv("SIGHTLINE_ISA");
  if (forced == nullptr || *forced == '\0') {
    for (const Candidate& candidate : candidates) {
      if (candidate.available) choice.table = candidate.table;
    }
    return choice;
  }
  for (const Candidate& candidate : candidates) {
    if (std::strcmp(candidate.table->name, forced) != 0) continue;
    if (candidate.available) {
      choice.table = candidate.table;
    } else {
      std::snprintf(choice.cause, sizeof choice.cause,
                    "SIGHTLINE_ISA=%s, but this CPU or its operating system lacks %s", forced,
                    candidate.needs);
    }
    return choice;
  }
  std::snprintf(choice.cause, sizeof choice.cause, "SIGHTLINE_ISA=%.40s, expected one of:", forced);
  for (const Candidate& candidate : candidates) {
    const size_t used = std::strlen(choice.cause);
    std::snprintf(choice.cause + used, sizeof choice.cause - used, " %s", candidate.table->name);
  }
  return choice;
}

const Choice& chosen() {
  static const Choice choice = choose();
  return choice;
}

std::atomic<const Kernels*> overriding{nullptr};

}  // namespace

const Kernels* kernels() {
  const Kernels* table = overriding.load(std::memory_order_acquire);
  return table != nullptr ? table : chosen().table;
}

const char* isa_cause() { return chosen().cause; }

sl_status require_kernels(const Kernels** out) {
  *out = kernels();
  return *out != nullptr ? SL_OK : set_error(SL_UNAVAILABLE, "cpu: %s", isa_cause());
}

void override_kernels(const Kernels* table) { overriding.store(table, std::memory_order_release); }

}  // namespace sightline::cpu
