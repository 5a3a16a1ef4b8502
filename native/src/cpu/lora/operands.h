// The two operands of LoRA products that are computed while they are packed: x after dropout, and
// the A of several adapters one below the other, so that x is read once for all of them.
#pragma once

#include <array>

#include "api/backend.h"
#include "cpu/gemm/gemm.h"

namespace sightline::cpu {

// Adapters that see the same drop(x): all linears of a call without dropout, or neighbours that
// share a seed.
struct Stack {
  explicit Stack(const Kernels& k) : kernels(&k) {}
  void add(const LoraViews& linear) {
    linears[count] = &linear;
    first_row[count + 1] = first_row[count] + linear.a.rows;
    ++count;
  }
  int64_t rank() const { return first_row[count]; }  // of all of them together

  const Kernels* kernels;
  int64_t count = 0;
  std::array<const LoraViews*, kMaxLoraLinears> linears{};
  std::array<int64_t, kMaxLoraLinears + 1> first_row{};  // of each in the stacked matrices
};

// [rank, K]; keep the stack alive as long as the operand. `along_k`: see Operand.
Operand stacked_a(const Stack& stack, bool along_k);

// Linears [first, end) with one mask, the widest run that starts at `first`.
int64_t end_of_mask(const LoraCall& call, int64_t first);

struct DroppedX {
  const Kernels* kernels;
  const View3* x;
  float dropout;
  uint64_t seed;
};

// drop(x) [M,K]; x itself where dropout is 0. Keep `dropped` alive as long as the operand.
Operand dropped_x(const DroppedX& dropped, bool along_k);

// Rows of a stacked product to the adapters they belong to: calls part(linear, stack row, first row
// within the linear, count) for each linear that [begin, end) touches.
template <typename Part>
void for_each_part(const Stack& stack, int64_t begin, int64_t end, Part&& part) {
  for (int64_t i = 0; i < stack.count; ++i) {
    const int64_t first = begin > stack.first_row[i] ? begin : stack.first_row[i];
    const int64_t last = end < stack.first_row[i + 1] ? end : stack.first_row[i + 1];
    if (first < last) part(*stack.linears[i], first, first - stack.first_row[i], last - first);
  }
}

}  // namespace sightline::cpu
