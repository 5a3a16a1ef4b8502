// Run once for each value of SIGHTLINE_ISA that ctest sets: the choice, or the reason for none,
// must be the one that CPUID and the variable imply.
#include <cstdlib>
#include <string>

#include "api/backend.h"
#include "common/cpu_features.h"
#include "cpu/isa.h"
#include "harness.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

std::string forced() {
  const char* value = std::getenv("SIGHTLINE_ISA");
  return value != nullptr ? value : "";
}

bool available(const std::string& isa) {
  const CpuFeatures& cpu = cpu_features();
  return isa == "generic" || (isa == "avx2" && cpu.avx2_fma) || (isa == "avx512" && cpu.avx512) ||
         (isa == "avx512bf16" && cpu.avx512_bf16);
}

}  // namespace

TEST(features_are_nested) {
  const CpuFeatures& cpu = cpu_features();
  CHECK(!cpu.avx512_bf16 || cpu.avx512);
  CHECK(!cpu.avx512 || cpu.avx2_fma);
#if defined(__x86_64__)
  CHECK_EQ(cpu.avx2_fma, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  CHECK_EQ(cpu.avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl") &&
                           __builtin_cpu_supports("avx512dq"));
  CHECK_EQ(cpu.avx512_bf16, cpu.avx512 && __builtin_cpu_supports("avx512bf16"));
#endif
}

TEST(the_table_is_the_one_asked_for) {
  sl_capability capability{};
  CHECK_EQ(sl_capabilities(SL_CPU, &capability), SL_OK);
  const std::string isa = forced(), cause = isa_cause();
  if (isa.empty()) {
    std::string best;
    for (const char* name : {"generic", "avx2", "avx512", "avx512bf16"}) {
      if (available(name)) best = name;
    }
    CHECK_EQ(std::string(kernels()->name), best);
  } else if (available(isa)) {
    CHECK_EQ(std::string(kernels()->name), isa);
  } else {
    CHECK(kernels() == nullptr);
    CHECK(cause.find("SIGHTLINE_ISA=" + isa) == 0);
    const bool known = isa == "avx2" || isa == "avx512" || isa == "avx512bf16";
    CHECK(cause.find(known ? "lacks AVX" : "expected one of: generic") != std::string::npos);
  }
  if (kernels() != nullptr) {
    CHECK_EQ(cause, "");
    CHECK_EQ(capability.available, 1);
    CHECK_EQ(std::string(capability.implementation), kernels()->name);
    CHECK_EQ(capability.native_bf16 != 0, std::string(kernels()->name) == "avx512bf16");
  } else {
    CHECK_EQ(capability.available, 0);
    CHECK_EQ(std::string(capability.unavailability_cause), cause);
  }
}

TEST(without_kernels_a_call_fails_with_the_cause) {
  const Kernels* table = nullptr;
  const sl_status status = require_kernels(&table);
  if (kernels() != nullptr) {
    CHECK_EQ(status, SL_OK);
    CHECK(table == kernels());
    return;
  }
  CHECK_EQ(status, SL_UNAVAILABLE);
  CHECK_EQ(std::string(sl_last_error()), std::string("cpu: ") + isa_cause());
}

TEST_MAIN()
