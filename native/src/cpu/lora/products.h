// The matrix products of one LoRA call, gathered in the order they may run in and run by one team
// of threads. Memory for them is part of the call's scratch.
#pragma once

#include "cpu/lora/operands.h"

namespace sightline::cpu {

// A product and all that its Gemm points at. Which members it uses is its maker's choice.
struct Product {
  explicit Product(const Kernels& kernels) : stack(kernels) {}

  GemmTerm terms[2];
  Stack stack;  // whose rows it reads or writes
  DroppedX x{};
  StoreEpilogue store;
};

class Products {
 public:
  // Takes room for at most `limit` products.
  Products(ScratchLayout& layout, const Kernels& kernels, const LoraCall& call, int64_t limit,
           int threads);

  // The next product, to be filled in and then added.
  Product& next();
  // [m,n] = the sum over `terms`, which live until run(). For needs and waits_at see Gemm.
  void add(int64_t m, int64_t n, const GemmTerm* terms, int term_count, GemmEpilogue epilogue,
           const void* user, int needs = 0, int waits_at = 0);
  int count() const { return count_; }

  // S = drop(x) A^T of the linears in `stack`, with one mask, each into its `s` [M,r] fp32.
  void add_s(const Stack& stack, const DroppedX& x);

  void run() const { gemm(kernels_, sequence_, count_, workspace_, threads_); }

 private:
  const Kernels& kernels_;
  const LoraCall& call_;
  Product* products_;
  Gemm* sequence_;
  void* workspace_;
  int threads_;
  int taken_ = 0, count_ = 0;
};

}  // namespace sightline::cpu
