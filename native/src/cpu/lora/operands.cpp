#include "cpu/lora/operands.h"

#include "common/philox.h"

namespace sightline::cpu {
namespace {

const void* element(const void* data, DType dtype, int64_t index) {
  return static_cast<const char*>(data) + index * element_size(dtype);
}

void fetch_stacked_a(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const Stack& stack = *static_cast<const Stack*>(user);
  int64_t i = 0;
  while (row >= stack.first_row[i + 1]) ++i;
  const View2& a = stack.linears[i]->a;
  const int64_t index = (row - stack.first_row[i]) * a.row_stride + column;
  stack.kernels->row.load(dst, element(a.data, a.dtype, index), a.dtype, n);
}

void fetch_dropped_x(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const DroppedX& dropped = *static_cast<const DroppedX*>(user);
  const View3& x = *dropped.x;
  const int64_t index = row / x.rows * x.batch_stride + row % x.rows * x.row_stride + column;
  dropped.kernels->row.load(dst, element(x.data, x.dtype, index), x.dtype, n);
  dropped.kernels->row.dropout(dst, n, dropped.seed, kDropoutLora, static_cast<uint64_t>(row),
                               static_cast<uint64_t>(column), dropped.dropout);
}

}  // namespace

Operand stacked_a(const Stack& stack, bool along_k) {
  if (stack.count == 1) return operand(stack.linears[0]->a, along_k);
  Operand a;
  a.view.batch = 1;
  a.view.rows = stack.rank();
  a.view.cols = stack.linears[0]->a.cols;
  a.along_k = along_k;
  a.fetch = fetch_stacked_a;
  a.user = &stack;
  return a;
}

int64_t end_of_mask(const LoraCall& call, int64_t first) {
  int64_t end = first + 1;
  while (end < call.count && (call.dropout == 0.f ||
                              call.linears[end].dropout_seed == call.linears[first].dropout_seed)) {
    ++end;
  }
  return end;
}

Operand dropped_x(const DroppedX& dropped, bool along_k) {
  Operand x = operand(*dropped.x, along_k);
  if (dropped.dropout > 0.f) {
    x.fetch = fetch_dropped_x;
    x.user = &dropped;
  }
  return x;
}

}  // namespace sightline::cpu
