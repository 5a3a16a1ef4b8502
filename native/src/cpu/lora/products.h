// The matrix products of one LoRA call, gathered in the order they may run in and run by one team
// of threads: those that make S first, then what the pass adds. Memory for them and for an S that
// the caller does not keep is part of the call's scratch.
#pragma once

#include "cpu/lora/operands.h"

namespace sightline::cpu {

// A product and all that its Gemm points at. Which members it uses is its maker's choice.
struct Product {
  explicit Product(const Kernels& kernels) : stack(kernels) {}

  KSegment segments[2];
  Stack stack;  // whose rows it reads or writes
  DroppedX x{};
  StoreEpilogue store;
};

class Products {
 public:
  // Takes room for at most `limit` products. S_i is made where `needs_s(linear i)`.
  template <class NeedsS>
  Products(Arena& arena, const Kernels& kernels, const LoraCall& call, int64_t limit, int threads,
           NeedsS&& needs_s)
      : Products(arena, kernels, call, limit, threads) {
    for (int64_t i = 0; i < call.count; ++i) {
      LoraViews& linear = linears_[i];
      makes_s_[i] = needs_s(linear);
      const int64_t m = call.x.total_rows(), rank = linear.a.rows;
      if (makes_s_[i] && !linear.s) {
        linear.s = {arena.take<float>(m, rank), DType::kFloat32, m, rank, rank};
      }
    }
  }

  // Those of the call, with the S that is made.
  const LoraViews* linears() const { return linears_.data(); }

  // The next product, to be filled in and then added.
  Product& next();
  // [m,n] = the sum over `segments`, which live until run(). For needs and waits_at see Gemm.
  void add(int64_t m, int64_t n, const KSegment* segments, int segment_count, GemmEpilogue epilogue,
           const void* user, int needs = 0, int waits_at = 0);
  int count() const { return count_; }

  // S = drop(x) A^T [M,r] fp32, one product for all linears that share a mask.
  void add_s();

  void run() const { gemm(kernels_, sequence_, count_, workspace_, threads_); }

 private:
  Products(Arena& arena, const Kernels& kernels, const LoraCall& call, int64_t limit, int threads);

  const Kernels& kernels_;
  const LoraCall& call_;
  std::array<LoraViews, kMaxLoraLinears> linears_;
  std::array<bool, kMaxLoraLinears> makes_s_;
  Product* products_;
  Gemm* sequence_;
  void* workspace_;
  int threads_;
  int taken_ = 0, count_ = 0;
};

}  // namespace sightline::cpu
