#include "cpu/lora/products.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace sightline::cpu {
namespace {

// A tile [rows of x, stacked ranks] to the s of each linear.
void scatter_s(const void* user, const Kernels&, const GemmTile& tile) {
  const Stack& stack = *static_cast<const Stack*>(user);
  for_each_part(stack, tile.column, tile.column + tile.columns,
                [&](const LoraViews& linear, int64_t row, int64_t first, int64_t count) {
                  float* s = static_cast<float*>(linear.s.data) + first;
                  const float* from = tile.data + (row - tile.column);
                  for (int64_t i = 0; i < tile.rows; ++i) {
                    std::memcpy(s + (tile.row + i) * linear.s.row_stride, from + i * tile.ld,
                                static_cast<size_t>(count) * sizeof(float));
                  }
                });
}

}  // namespace

Products::Products(Arena& arena, const Kernels& kernels, const LoraCall& call, int64_t limit,
                   int threads)
    : kernels_(kernels),
      call_(call),
      products_(arena.take<Product>(limit)),
      sequence_(arena.take<Gemm>(limit)),
      workspace_(arena.take<char>(
          gemm_workspace_bytes(kernels, call.x.dtype, threads, static_cast<int>(limit)))),
      threads_(threads) {
  std::copy_n(call.linears, call.count, linears_.begin());
}

Product& Products::next() { return *new (&products_[taken_++]) Product(kernels_); }

void Products::add(int64_t m, int64_t n, const KSegment* segments, int segment_count,
                   GemmEpilogue epilogue, const void* user, int needs, int waits_at) {
  new (&sequence_[count_++])
      Gemm{m, n, call_.x.dtype, segments, segment_count, epilogue, user, needs, waits_at};
}

void Products::add_s() {
  for (int64_t i = 0; i < call_.count;) {
    const int64_t first = i, end = end_of_mask(call_, first);
    Stack stack(kernels_);
    for (; i < end; ++i) {
      if (makes_s_[i]) stack.add(linears_[i]);
    }
    if (stack.count == 0) continue;
    Product& product = next();
    product.stack = stack;
    product.x = {&kernels_, &call_.x, call_.dropout, linears_[first].dropout_seed};
    product.segments[0].a = dropped_x(product.x, true);
    product.segments[0].b = stacked_a(product.stack, true);
    product.segments[0].k = call_.x.cols;
    add(call_.x.total_rows(), stack.rank(), product.segments, 1, scatter_s, &product.stack);
  }
}

}  // namespace sightline::cpu
