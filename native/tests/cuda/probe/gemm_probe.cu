#include "cuda/tensor/rows.h"
#include "gemm_probe.cuh"

using namespace sightline;
using namespace sightline::cuda;

// C[m,n] = A B^T. dtype and out_dtype: 0 fp32, 1 bf16. majors: bit 0 A is [k][m], bit 1 B
// is [k][n]. path: 0 picks, 1 portable, 2 fp32 through tf32, 3 Hopper with results by rows. tile: 0
// picks, 128 or 256 forces the Hopper kernel's columns. Returns a cudaError_t.
extern "C" __attribute__((visibility("default"))) int32_t sl_probe_gemm(
    int32_t dtype, int32_t out_dtype, int32_t majors, int32_t path, int32_t tile, int32_t m,
    int32_t n, int32_t k, const void* a, int64_t lda, const void* b, int64_t ldb, void* c,
    int64_t ldc, void* stream) {
  int id = 0;
  cudaError_t error = cudaGetDevice(&id);
  const Device* device = error == cudaSuccess ? device_of(id, &error) : nullptr;
  if (device == nullptr) return error;
  ProbeCall call{};
  call.a_mn = (majors & 1) != 0;
  call.b_mn = (majors & 2) != 0;
  call.problem.m = m, call.problem.n = n, call.problem.k = k;
  call.problem.a = matrix(a, lda), call.problem.b = matrix(b, ldb);
  View2 out;
  out.data = c;
  out.dtype = static_cast<DType>(out_dtype);
  out.rows = m, out.cols = n, out.row_stride = ldc;
  call.epilogue.out = user_rows(out);
  constexpr GemmPath kPaths[] = {GemmPath::kAuto, GemmPath::kPortable, GemmPath::kTf32,
                                 GemmPath::kRowStore};
  if (path < 0 || path > 3) return cudaErrorInvalidValue;
  Stream on(*device, static_cast<cudaStream_t>(stream));
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    call.plan = plan_gemm<T>(*device, kPaths[path], call.problem);
    if (tile != 0 && call.plan.hopper) call.plan.tile = {tile, 2};
    probe<T>(on, call);
  };
  if (dtype == 0) run(float{});
  if (dtype == 1) run(Bf16{});
  return on.error();
}
