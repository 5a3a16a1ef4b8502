#include "cpu/elementwise/elementwise.h"

#include "cpu/elementwise/tables.h"

namespace sightline {

const ElementwiseKernels& elementwise_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512 || isa == Isa::kAvx512Bf16) return kElementwiseAvx512;
  if (isa == Isa::kAvx2) return kElementwiseAvx2;
#endif
  return kElementwiseGeneric;
}

}  // namespace sightline
