// What this CPU, and the operating system's saving of its registers, allow.
#pragma once

namespace sightline {

struct CpuFeatures {
  bool avx2_fma = false;     // AVX2, FMA, and the OS saves YMM
  bool avx512 = false;       // the above, AVX-512 F, BW, VL, DQ, and the OS saves ZMM and masks
  bool avx512_bf16 = false;  // the above and AVX512_BF16
};

// Read once by CPUID; all false on a CPU that is not x86-64.
const CpuFeatures& cpu_features();

}  // namespace sightline
