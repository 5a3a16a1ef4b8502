#include "cpu/elementwise/elementwise.h"

#include "common/cpu_features.h"

namespace sightline::cpu {

const ElementwiseKernels& elementwise_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  // An emulated kernel table (tests) claims an ISA that the CPU may lack.
  const CpuFeatures& cpu = cpu_features();
  if (isa >= Isa::kAvx512 && cpu.avx512) return kElementwiseAvx512;
  if (isa >= Isa::kAvx2 && cpu.avx2_fma) return kElementwiseAvx2;
#endif
  return kElementwiseGeneric;
}

}  // namespace sightline::cpu
