// Kernels for AVX-512 F, BW, VL, DQ; bf16 operands widened to fp32.
#include "cpu/kernels/avx512.inc"

namespace sightline::cpu {
namespace {
using Traits = Avx512;
}  // namespace
}  // namespace sightline::cpu

#include "cpu/kernels/templates.inc"

namespace sightline::cpu {
extern const Kernels kAvx512Kernels;
const Kernels kAvx512Kernels = {
    Isa::kAvx512, "avx512", false, gemm_kernels<Fp32>(), gemm_kernels<Bf16AsFp32>(), kRowKernels};
}  // namespace sightline::cpu
