// y_i = x W_i^T + bias_i + scale_i S_i B_i^T,  S_i = drop(x) A_i^T           x [M,K], y_i [M,N_i]
//
//   1. A of all linears stacked and brought to T; S of all that share a mask in one product over x,
//      its k split, the partial sums added in order: S fp32 to the caller, scale S rounded to T.
//   2. For each linear one product whose k runs over K columns of x and then over the padded rank
//      of scale_i S_i, in the same fp32 accumulators; bias in the epilogue, y is written once.
//      Without a weight only the rank is left and y is added to.
#pragma once

#include "cuda/lora/products.cuh"

namespace sightline::cuda {

template <class T>
struct LoraForwardScratch {
  T* x = nullptr;                            // [M, K8] where x cannot be read in place
  T* a;                                      // [rank, K8]
  T* s;                                      // [M, rank], scaled
  std::array<T*, kMaxLoraLinears> b{};       // [N_i, padded rank]
  std::array<T*, kMaxLoraLinears> weight{};  // [N_i, K8] where it cannot be read in place
  float* partial;

  LoraForwardScratch(Arena& arena, const Device& device, const LoraCall& call,
                     const LoraSizes& s_) {
    using Products = LoraProducts<T>;
    if (!Products::readable(user_rows(call.x))) x = arena.take<T>(s_.m, s_.k8);
    a = arena.take<T>(s_.rank, s_.k8);
    s = arena.take<T>(s_.m, s_.rank);
    for (int64_t i = 0; i < call.count; ++i) {
      const LoraViews& linear = call.linears[i];
      b[i] = arena.take<T>(linear.b.rows, s_.padded_rank(i));
      if (linear.weight && !Products::readable(user_rows(linear.weight))) {
        weight[i] = arena.take<T>(linear.b.rows, s_.k8);
      }
    }
    int64_t most = 0;
    for (int64_t first = 0; first < call.count;) {
      const int64_t end = end_of_mask(call, first);
      most = std::max(most,
                      Products::partials_size(device, s_.m, s_.first[end] - s_.first[first], s_.k));
      first = end;
    }
    partial = arena.take<float>(most);
  }
};

template <class T>
sl_status typed_lora_forward(const Device& device, const sl_context& context,
                             const LoraCall& call) {
  const LoraSizes sizes(call);
  void* memory = nullptr;
  const auto lay_out = [&](Arena& l) { return LoraForwardScratch<T>(l, device, call, sizes); };
  SL_TRY(lora_workspace(device, context, lay_out, &memory));
  Arena arena(memory);
  const LoraForwardScratch<T> scratch = lay_out(arena);
  Stream stream(device, static_cast<cudaStream_t>(context.stream));
  LoraProducts<T> products(stream, gemm_path<T>(context), call, sizes);

  const Operand x = products.operand_of_rows(user_rows(call.x), sizes.m, scratch.x);
  products.pack_stacked_a(scratch.a);
  for (int64_t i = 0; i < call.count; ++i) {
    const View2& b = call.linears[i].b;
    const int n = static_cast<int>(b.rows), rank = sizes.padded_rank(i);
    products.pack(user_rows(b), n, scratch.b[i], rank, n, rank);
  }
  for (int64_t first = 0; first < call.count;) {
    const int64_t end = end_of_mask(call, first);
    products.s_of_mask(
        first, end, x, scratch.a, scratch.partial, scratch.s,
        [](const LoraViews& linear) { return linear.scale; },
        [](const LoraViews& linear) { return linear.s; });
    first = end;
  }
  for (int64_t i = 0; i < call.count; ++i) {
    const LoraViews& linear = call.linears[i];
    GemmProblem problem;
    problem.m = sizes.m, problem.n = static_cast<int>(linear.b.rows);
    int segments = 0;
    if (linear.weight) {
      products.add_segment(
          problem, segments, x,
          products.operand_of_rows(user_rows(linear.weight), problem.n, scratch.weight[i]),
          sizes.k);
    }
    const int rank = sizes.padded_rank(i);
    products.add_segment(problem, segments, matrix(scratch.s + sizes.first[i], sizes.rank),
                         matrix(scratch.b[i], rank), rank);
    LoraEpilogue::Params epilogue{};
    epilogue.out = user_rows(linear.y);
    epilogue.accumulate = !linear.weight;
    if (linear.bias) epilogue.bias = user_rows(linear.bias);
    products.template product<Major::kK>(problem, epilogue);
  }
  return status_of(stream.error(), "lora forward");
}

}  // namespace sightline::cuda
