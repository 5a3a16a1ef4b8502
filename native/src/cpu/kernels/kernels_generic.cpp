// Kernels without ISA extensions: SSE2 or NEON width, no FMA assumed; 4 x 12 tile in 12 of 16
// registers.
#include "cpu/kernels/kernels.h"

namespace sightline::cpu {
namespace {
struct Traits {
  static constexpr int kWidth = 4, kMr = 4, kNv = 3;
  static constexpr int64_t kMc = 192, kNc = 512;
};
}  // namespace
}  // namespace sightline::cpu

#include "cpu/kernels/templates.inc"

namespace sightline::cpu {
extern const Kernels kGenericKernels;
const Kernels kGenericKernels = {
    Isa::kGeneric, "generic", false, gemm_kernels<Fp32>(), gemm_kernels<Bf16AsFp32>(), kRowKernels};
}  // namespace sightline::cpu
