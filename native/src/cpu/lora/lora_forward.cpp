// y_i = x W_i^T + bias_i + scale_i S_i B_i^T,  S_i = drop(x) A_i^T           x [M,K], y_i [M,N_i]
//
//   1. S of all linears that share a mask, in one product over x.             S_i [M,r_i] fp32
//   2. For each linear one product whose k runs over K columns of x and then over the r_i columns
//   of
//      scale_i S_i, in the same fp32 accumulators; y is rounded and written once. Without a weight
//      only the r_i columns are left and y is added to.
//
// Products run in x's dtype: with bf16, S is kept in fp32 and rounded while step 2 packs it, like
// every other operand. Scratch: one S per linear that has none from the caller, and tiles.
#include "cpu/isa.h"
#include "cpu/lora/lora.h"
#include "cpu/lora/operands.h"
#include "cpu/workspace.h"

namespace sightline::cpu {
namespace {

struct Scratch {
  void* gemm;
  std::array<float*, kMaxLoraLinears> s;  // null where the caller keeps it
};

Scratch carve(ScratchLayout layout, const LoraCall& call, int64_t gemm_bytes, int64_t* bytes) {
  Scratch scratch{};
  scratch.gemm = layout.take<char>(gemm_bytes);
  for (int64_t i = 0; i < call.count; ++i) {
    const LoraViews& linear = call.linears[i];
    if (!linear.s) scratch.s[i] = layout.take<float>(call.x.total_rows() * linear.a.rows);
  }
  if (bytes != nullptr) *bytes = layout.bytes();
  return scratch;
}

void fetch_scaled_s(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const LoraViews& linear = *static_cast<const LoraViews*>(user);
  const float* s = static_cast<const float*>(linear.s.data) + row * linear.s.row_stride + column;
  for (int64_t j = 0; j < n; ++j) dst[j] = linear.scale * s[j];
}

void multiply_into_y(const Kernels& kernels, const View3& x, const LoraViews& linear,
                     void* workspace, int threads) {
  std::array<GemmTerm, 2> terms{};
  int count = 0;
  if (linear.weight) {
    terms[count].a = operand(x, true);
    terms[count].b = operand(linear.weight, true);
    terms[count++].k = x.cols;
  }
  terms[count].a = operand(linear.s, true);
  terms[count].a.fetch = fetch_scaled_s;
  terms[count].a.user = &linear;
  terms[count].b = operand(linear.b, true);
  terms[count++].k = linear.b.cols;

  StoreEpilogue store;
  store.out = linear.y;
  store.bias = linear.bias;
  store.accumulate = !linear.weight;

  Gemm problem;
  problem.m = x.total_rows();
  problem.n = linear.b.rows;
  problem.compute = x.dtype;
  problem.terms = terms.data();
  problem.term_count = count;
  problem.epilogue = store_tile;
  problem.user = &store;
  gemm(kernels, problem, workspace, threads);
}

}  // namespace

sl_status lora_forward(const sl_context& context, const LoraCall& call) {
  const Kernels* kernels = nullptr;
  if (const sl_status status = require_kernels(&kernels); status != SL_OK) return status;
  if (call.x.total_rows() == 0) return SL_OK;
  const int threads = thread_count(context);

  const int64_t gemm_bytes = gemm_workspace_bytes(*kernels, call.x.dtype, threads);
  int64_t bytes = 0;
  carve(ScratchLayout(nullptr), call, gemm_bytes, &bytes);
  void* memory = nullptr;
  if (const sl_status status = acquire_workspace(context, bytes, &memory); status != SL_OK) {
    return status;
  }
  const Scratch scratch = carve(ScratchLayout(memory), call, gemm_bytes, nullptr);

  std::array<LoraViews, kMaxLoraLinears> linears;
  for (int64_t i = 0; i < call.count; ++i) {
    linears[i] = call.linears[i];
    const int64_t rank = linears[i].a.rows;
    if (!linears[i].s) {
      linears[i].s = {scratch.s[i], DType::kFloat32, call.x.total_rows(), rank, rank};
    }
  }
  for (int64_t first = 0; first < call.count;) {
    const int64_t end = end_of_mask(call, first);
    Stack stack(*kernels);
    for (int64_t i = first; i < end; ++i) stack.add(linears[i]);
    const DroppedX x{kernels, &call.x, call.dropout, linears[first].dropout_seed};
    multiply_by_a(stack, x, scratch.gemm, threads);
    first = end;
  }
  for (int64_t i = 0; i < call.count; ++i) {
    multiply_into_y(*kernels, call.x, linears[i], scratch.gemm, threads);
  }
  return SL_OK;
}

}  // namespace sightline::cpu
