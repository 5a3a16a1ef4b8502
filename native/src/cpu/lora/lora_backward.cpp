// Gradients of a LoRA linear, S_i = drop(x) A_i^T given or computed again, dy_i [M,N_i]:
//
//   T_i  = scale_i dy_i B_i                                                    [M,r_i] fp32
//   db_i = scale_i dy_i^T S_i                                                  [N_i,r_i]
//   da_i = T_i^T drop(x), one product over x for all linears that share a mask [r_i,K]
//   dx   = sum_i dy_i W_i + drop'(T_i A_i), one product for all linears: its k runs over the N_i
//          columns of every dy_i and then over the r columns of every T_i      [M,K]
//
// drop' masks a part of that sum only, so with dropout T_i A_i is formed tile by tile in dx's
// epilogue instead. Products run in x's dtype with fp32 sums; T and S stay in fp32 until packed;
// every output is rounded once. Scratch: T, S where it is missing, and tiles.
#include <algorithm>
#include <new>
#include <optional>

#include "common/philox.h"
#include "cpu/backend.h"
#include "cpu/gemm/pack.h"
#include "cpu/isa.h"
#include "cpu/lora/products.h"
#include "cpu/workspace.h"

namespace sightline::cpu {
namespace {

int64_t total_rank(const LoraCall& call) {
  int64_t rank = 0;
  for (int64_t i = 0; i < call.count; ++i) rank += call.linears[i].a.rows;
  return rank;
}

struct Scratch {
  Products products;
  KSegment* dx_segments;
  float* t;  // [M, rank of all linears], side by side

  // Products: S, T, db and da of each linear, and dx.
  Scratch(Arena& arena, const Kernels& kernels, const LoraCall& call, int threads)
      : products(arena, kernels, call, 4 * call.count + 1, threads,
                 [](const LoraViews& linear) { return linear.db && !linear.s; }),
        dx_segments(arena.take<KSegment>(call.count + 1)),
        t(arena.take<float>(call.x.total_rows(), total_rank(call))) {}
};

// Adds the products of a call, in the order S, T, db, dx, da: what one needs lies far enough back
// to be done when its turn comes.
struct Backward {
  const Kernels& kernels;
  const LoraCall& call;
  const LoraViews* linears;
  Products& products;
  KSegment* dx_segments;
  float* t;
  int64_t m, rank;
  StoreEpilogue dx_store;  // of the masked sum

  View2 t_columns(int64_t first, int64_t count) const {
    return {t + first, DType::kFloat32, m, count, rank};
  }

  void add_t(const LoraViews& linear, int64_t first_column) const {
    Product& product = products.next();
    product.segments[0].a = operand(linear.dy, true);
    product.segments[0].b = operand(linear.b, false);
    product.segments[0].k = linear.b.rows;
    product.store.out = operand(t_columns(first_column, linear.b.cols), true).view;
    product.store.scale = linear.scale;
    products.add(m, linear.b.cols, product.segments, 1, store_tile, &product.store);
  }

  void add_db(const LoraViews& linear, int s_products) const {
    Product& product = products.next();
    product.segments[0].a = operand(linear.dy, false);
    product.segments[0].b = operand(linear.s, false);
    product.segments[0].k = m;
    product.store.out = operand(linear.db, true).view;
    product.store.scale = linear.scale;
    product.store.accumulate = call.accumulate_weights;
    products.add(linear.b.rows, linear.b.cols, product.segments, 1, store_tile, &product.store,
                 s_products);
  }

  void add_da(int64_t first, int64_t end, int64_t first_column, int t_products) const;
  void add_dx(int t_products);
};

// ---- da ----

void scatter_da(const void* user, const Kernels& kernels, const GemmTile& tile) {
  const Product& product = *static_cast<const Product*>(user);
  for_each_part(product.stack, tile.row, tile.row + tile.rows,
                [&](const LoraViews& linear, int64_t row, int64_t first, int64_t count) {
                  StoreEpilogue store = product.store;
                  store.out = operand(linear.da, true).view;
                  const GemmTile part{tile.data + (row - tile.row) * tile.ld,
                                      tile.ld,
                                      first,
                                      count,
                                      tile.column,
                                      tile.columns};
                  store_tile(&store, kernels, part);
                });
}

// Of the linears [first, end), which share a mask and whose T begins at first_column: one product
// for each run of them that wants a gradient.
void Backward::add_da(int64_t first, int64_t end, int64_t first_column, int t_products) const {
  int64_t column = first_column;
  while (first < end) {
    if (!linears[first].da) {
      column += linears[first++].a.rows;
      continue;
    }
    Product& product = products.next();
    product.x = {&kernels, &call.x, call.dropout, linears[first].dropout_seed};
    product.store.accumulate = call.accumulate_weights;
    while (first < end && linears[first].da) product.stack.add(linears[first++]);
    const int64_t stacked = product.stack.rank();
    product.segments[0].a = operand(t_columns(column, stacked), false);
    product.segments[0].b = dropped_x(product.x, false);
    product.segments[0].k = m;
    products.add(stacked, call.x.cols, product.segments, 1, scatter_da, &product, t_products);
    column += stacked;
  }
}

// ---- dx ----

// sums = T A of the linears [first, end), rows [row, row + rows) and columns [column, column + n)
// of dx, by the fp32 register tiles from operands packed on the stack.
constexpr int64_t kMaskedRows = 48, kMaskedColumns = 96, kMaskedK = 64;
constexpr int64_t kMaskedLd = kMaskedColumns + kRowPad;

void multiply_masked(const Backward& backward, int64_t first, int64_t end, int64_t t_column,
                     int64_t row, int64_t rows, int64_t column, int64_t n, float* sums) {
  alignas(kScratchAlignment) float t_panels[(kMaskedRows + kMaxPanelWidth) * kMaskedK];
  alignas(kScratchAlignment) float a_panels[(kMaskedColumns + kMaxPanelWidth) * kMaskedK];
  const GemmKernels& gemm = backward.kernels.fp32;
  bool accumulate = false;
  for (int64_t l = first; l < end; t_column += backward.linears[l++].a.rows) {
    const View2& a = backward.linears[l].a;
    const Operand t = operand(backward.t_columns(t_column, a.rows), true);
    for (int64_t k0 = 0; k0 < a.rows; k0 += kMaskedK) {
      const int64_t k = std::min(kMaskedK, a.rows - k0);
      const ALayout layout = pack_a_block(gemm, t, row, rows, k0, k, t_panels, nullptr);
      pack_b_block(gemm, operand(a, false), column, n, k0, k, a_panels, nullptr);
      gemm.multiply(rows, n, k, layout, t_panels, a_panel_bytes(gemm, k), a_panels,
                    b_panel_bytes(gemm, k), sums, kMaskedLd, accumulate, {});
      accumulate = true;
    }
  }
}

// Adds drop'(T A) of the linears [first, end), which share a mask, to the tile.
void add_masked(const Backward& backward, const GemmTile& tile, int64_t first, int64_t end,
                int64_t t_column) {
  alignas(kScratchAlignment) float sums[kMaskedRows * kMaskedLd];
  const RowKernels& kernels = backward.kernels.row;
  for (int64_t j0 = 0; j0 < tile.columns; j0 += kMaskedColumns) {
    const int64_t n = std::min(kMaskedColumns, tile.columns - j0), column = tile.column + j0;
    for (int64_t i0 = 0; i0 < tile.rows; i0 += kMaskedRows) {
      const int64_t row = tile.row + i0, rows = std::min(kMaskedRows, tile.rows - i0);
      multiply_masked(backward, first, end, t_column, row, rows, column, n, sums);
      for (int64_t i = 0; i < rows; ++i) {
        float* sum = sums + i * kMaskedLd;
        kernels.dropout(sum, n, backward.linears[first].dropout_seed, kDropoutLora,
                        static_cast<uint64_t>(row + i), static_cast<uint64_t>(column),
                        backward.call.dropout);
        kernels.add(tile.data + (i0 + i) * tile.ld + j0, sum, n);
      }
    }
  }
}

void store_masked(const void* user, const Kernels& kernels, const GemmTile& tile) {
  const Backward& backward = *static_cast<const Backward*>(user);
  int64_t t_column = 0;
  for (int64_t first = 0; first < backward.call.count;) {
    const int64_t end = end_of_mask(backward.call, first);
    add_masked(backward, tile, first, end, t_column);
    for (; first < end; ++first) t_column += backward.linears[first].a.rows;
  }
  store_tile(&backward.dx_store, kernels, tile);
}

void Backward::add_dx(int t_products) {
  int count = 0;
  for (int64_t i = 0; i < call.count; ++i) {
    if (!linears[i].weight) continue;
    KSegment& segment = *new (&dx_segments[count++]) KSegment;
    segment.a = operand(linears[i].dy, true);
    segment.b = operand(linears[i].weight, false);
    segment.k = linears[i].b.rows;
  }
  dx_store.out = call.dx;
  dx_store.accumulate = call.accumulate_dx;
  const int reads_t = count;
  if (call.dropout > 0.f) {
    products.add(m, call.x.cols, dx_segments, count, store_masked, this, t_products, reads_t);
    return;
  }
  Stack& stack = products.next().stack;
  for (int64_t i = 0; i < call.count; ++i) stack.add(linears[i]);
  KSegment& segment = *new (&dx_segments[count++]) KSegment;
  segment.a = operand(t_columns(0, rank), true);
  segment.b = stacked_a(stack, false);
  segment.k = rank;
  products.add(m, call.x.cols, dx_segments, count, store_tile, &dx_store, t_products, reads_t);
}

}  // namespace

sl_status lora_backward(const sl_context& context, const LoraCall& call) {
  const Kernels* kernels = nullptr;
  SL_TRY(require_kernels(&kernels));
  const int threads = thread_count(context);
  std::optional<Scratch> scratch;
  const sl_status status = lay_out_workspace(
      context, [&](Arena& arena) { scratch.emplace(arena, *kernels, call, threads); });
  if (status != SL_OK) return status;
  Products& products = scratch->products;
  const LoraViews* linears = products.linears();
  Backward backward{*kernels,
                    call,
                    linears,
                    products,
                    scratch->dx_segments,
                    scratch->t,
                    call.x.total_rows(),
                    total_rank(call),
                    {}};
  products.add_s();
  const int s_products = products.count();
  int64_t t_column = 0;
  for (int64_t i = 0; i < call.count; t_column += linears[i++].a.rows) {
    if (call.dx || linears[i].da) backward.add_t(linears[i], t_column);
  }
  const int t_products = products.count();
  for (int64_t i = 0; i < call.count; ++i) {
    if (linears[i].db) backward.add_db(linears[i], s_products);
  }
  if (call.dx) backward.add_dx(t_products);
  t_column = 0;
  for (int64_t first = 0; first < call.count;) {
    const int64_t end = end_of_mask(call, first);
    backward.add_da(first, end, t_column, t_products);
    for (; first < end; ++first) t_column += linears[first].a.rows;
  }
  products.run();
  return SL_OK;
}

}  // namespace sightline::cpu
