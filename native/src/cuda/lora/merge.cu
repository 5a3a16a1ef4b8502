// weight += scale B A in place, one product over r columns; scale < 0 takes it off again.
//
//   weight [N,K] fp32 or bf16, A [r,K], B [N,r]; the product in fp32 by fused multiply-adds,
//   r in order: the CPU backend's bits for r <= 256 on instruction sets with FMA. The sum with the
//   weight is rounded on its own and then once to the weight's type, to nearest or, for bf16,
//   stochastically with the CPU's random words (cpu/elementwise/elementwise.h).
#include "cuda/gemm/simt_f32.cuh"
#include "cuda/lora/merge_epilogue.cuh"
#include "cuda/lora/products.cuh"

namespace sightline::cuda {

namespace {

sl_status merge_on(const Device& device, const sl_context& context, const MergeCall& call) {
  constexpr int64_t kMost = 0x7fffffff - 256;
  if (call.weight.rows > kMost || call.weight.cols > kMost || call.a.rows > kMost) {
    return set_error(SL_UNSUPPORTED, "weight: [%lld,%lld], at most %lld on CUDA",
                     static_cast<long long>(call.weight.rows),
                     static_cast<long long>(call.weight.cols), static_cast<long long>(kMost));
  }
  const int n = static_cast<int>(call.weight.rows), k = static_cast<int>(call.weight.cols);
  const int rank = static_cast<int>(call.a.rows), rank8 = round_up(rank, 8), k8 = round_up(k, 8);
  struct Scratch {
    float *a, *b;
  };
  const auto lay_out = [&](Arena& arena) {
    float* a = arena.take<float>(rank8, k8);
    return Scratch{a, arena.take<float>(n, rank8)};
  };
  void* memory = nullptr;
  SL_TRY(lora_workspace(device, context, lay_out, &memory));
  Arena arena(memory);
  const Scratch scratch = lay_out(arena);
  Stream stream(device, static_cast<cudaStream_t>(context.stream));
  const auto pack = [&](const View2& in, float* out, int rows, int columns) {
    const PackKernel<float>::Params p{user_rows(in), static_cast<int>(in.rows), out, columns, rows,
                                      columns};
    stream.launch<PackKernel<float>>(p, PackKernel<float>::blocks(p));
  };
  pack(call.a, scratch.a, rank8, k8);
  pack(call.b, scratch.b, n, rank8);

  GemmProblem problem;
  problem.m = n, problem.n = k, problem.k = rank;
  problem.a = matrix(scratch.b, rank8), problem.b = matrix(scratch.a, k8);
  MergeEpilogue::Params epilogue{};
  epilogue.weight = user_rows(call.weight);
  epilogue.scale = call.scale;
  epilogue.stochastic = call.stochastic && call.weight.dtype == DType::kBFloat16;
  epilogue.seed = call.seed;
  using Kernel = SimtGemm<Major::kK, Major::kMN, MergeEpilogue>;
  const Kernel::Params params = Kernel::params(problem, epilogue);
  stream.launch<Kernel>(params, Kernel::blocks(params));
  return status_of(stream.error(), "lora merge");
}

}  // namespace

sl_status lora_merge(const sl_context& context, const MergeCall& call) {
  return on_device_of(call.weight.data, "weight",
                      [&](const Device& device) { return merge_on(device, context, call); });
}

}  // namespace sightline::cuda
