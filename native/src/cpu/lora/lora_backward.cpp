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
#include <cstring>

#include "common/philox.h"
#include "cpu/gemm/pack.h"
#include "cpu/isa.h"
#include "cpu/lora/lora.h"
#include "cpu/lora/operands.h"
#include "cpu/workspace.h"

namespace sightline::cpu {
namespace {

struct Scratch {
  void* gemm;
  float* t;                               // [M, rank of all linears], side by side
  std::array<float*, kMaxLoraLinears> s;  // null where it is given or not needed
};

int64_t total_rank(const LoraCall& call) {
  int64_t rank = 0;
  for (int64_t i = 0; i < call.count; ++i) rank += call.linears[i].a.rows;
  return rank;
}

Scratch carve(ScratchLayout layout, const LoraCall& call, int64_t gemm_bytes, int64_t* bytes) {
  Scratch scratch{};
  const int64_t m = call.x.total_rows();
  scratch.gemm = layout.take<char>(gemm_bytes);
  scratch.t = layout.take<float>(m * total_rank(call));
  for (int64_t i = 0; i < call.count; ++i) {
    const LoraViews& linear = call.linears[i];
    if (linear.db && !linear.s) scratch.s[i] = layout.take<float>(m * linear.a.rows);
  }
  if (bytes != nullptr) *bytes = layout.bytes();
  return scratch;
}

struct Backward {
  const Kernels& kernels;
  const LoraCall& call;
  void* workspace;
  int threads;
  int64_t m, rank;
  float* t;

  View2 t_columns(int64_t first, int64_t count) const {
    return {t + first, DType::kFloat32, m, count, rank};
  }

  void product(int64_t rows, int64_t columns, const GemmTerm* terms, int count,
               GemmEpilogue epilogue, const void* user) const {
    Gemm problem;
    problem.m = rows;
    problem.n = columns;
    problem.compute = call.x.dtype;
    problem.terms = terms;
    problem.term_count = count;
    problem.epilogue = epilogue;
    problem.user = user;
    gemm(kernels, problem, workspace, threads);
  }

  void t_of(const LoraViews& linear, int64_t first_column) const {
    GemmTerm term;
    term.a = operand(linear.dy, true);
    term.b = operand(linear.b, false);
    term.k = linear.b.rows;
    StoreEpilogue store;
    store.out = operand(t_columns(first_column, linear.b.cols), true).view;
    store.scale = linear.scale;
    product(m, linear.b.cols, &term, 1, store_tile, &store);
  }

  void db_of(const LoraViews& linear) const {
    GemmTerm term;
    term.a = operand(linear.dy, false);
    term.b = operand(linear.s, false);
    term.k = m;
    StoreEpilogue store;
    store.out = operand(linear.db, true).view;
    store.scale = linear.scale;
    store.accumulate = call.accumulate_weights;
    product(linear.b.rows, linear.b.cols, &term, 1, store_tile, &store);
  }

  void da_of(const Stack& stack, const DroppedX& x, int64_t first_column) const;
  void dx(const LoraViews* linears) const;
};

// ---- da ----

struct ScatterDa {
  const Stack* stack;
  bool accumulate;
};

void scatter_da(const void* user, const Kernels& kernels, const GemmTile& tile) {
  const ScatterDa& scatter = *static_cast<const ScatterDa*>(user);
  for_each_part(*scatter.stack, tile.row, tile.row + tile.rows,
                [&](const LoraViews& linear, int64_t row, int64_t first, int64_t count) {
                  if (!linear.da) return;
                  StoreEpilogue store;
                  store.out = operand(linear.da, true).view;
                  store.accumulate = scatter.accumulate;
                  const GemmTile part{tile.data + (row - tile.row) * tile.ld,
                                      tile.ld,
                                      first,
                                      count,
                                      tile.column,
                                      tile.columns};
                  store_tile(&store, kernels, part);
                });
}

void Backward::da_of(const Stack& stack, const DroppedX& x, int64_t first_column) const {
  GemmTerm term;
  term.a = operand(t_columns(first_column, stack.rank()), false);
  term.b = dropped_x(x, false);
  term.k = m;
  const ScatterDa scatter{&stack, call.accumulate_weights};
  product(stack.rank(), call.x.cols, &term, 1, scatter_da, &scatter);
}

// ---- dx ----

struct MaskedDx {
  const Backward* backward;
  const LoraViews* linears;
  StoreEpilogue store;
};

// sums = T A of the linears [first, end), rows [row, row + rows) and columns [column, column + n)
// of dx, by the fp32 register tiles from operands packed on the stack.
constexpr int64_t kMaskedRows = 48, kMaskedColumns = 96, kMaskedK = 64;
constexpr int64_t kMaskedLd = kMaskedColumns + kRowPad;

void multiply_masked(const MaskedDx& masked, int64_t first, int64_t end, int64_t t_column,
                     int64_t row, int64_t rows, int64_t column, int64_t n, float* sums) {
  alignas(kScratchAlignment) float t_panels[(kMaskedRows + kMaxPanelWidth) * kMaskedK + kRowPad];
  alignas(kScratchAlignment) float a_panels[(kMaskedColumns + kMaxPanelWidth) * kMaskedK];
  const Backward& backward = *masked.backward;
  const GemmKernels& gemm = backward.kernels.fp32;
  bool accumulate = false;
  for (int64_t l = first; l < end; t_column += masked.linears[l++].a.rows) {
    const View2& a = masked.linears[l].a;
    const Operand t = operand(backward.t_columns(t_column, a.rows), true);
    for (int64_t k0 = 0; k0 < a.rows; k0 += kMaskedK) {
      const int64_t k = std::min(kMaskedK, a.rows - k0);
      pack_block(gemm, t, gemm.mr, row, rows, k0, k, t_panels, nullptr);
      pack_block(gemm, operand(a, false), gemm.nr, column, n, k0, k, a_panels, nullptr);
      gemm.multiply(rows, n, k, t_panels, panel_bytes(gemm, gemm.mr, k), a_panels,
                    panel_bytes(gemm, gemm.nr, k), sums, kMaskedLd, accumulate);
      accumulate = true;
    }
  }
}

// Adds drop'(T A) of the linears [first, end), which share a mask, to the tile.
void add_masked(const MaskedDx& masked, const GemmTile& tile, int64_t first, int64_t end,
                int64_t t_column) {
  alignas(kScratchAlignment) float sums[(kMaskedRows + kMaxPanelWidth) * kMaskedLd];
  const Backward& backward = *masked.backward;
  const RowKernels& kernels = backward.kernels.row;
  for (int64_t j0 = 0; j0 < tile.columns; j0 += kMaskedColumns) {
    const int64_t n = std::min(kMaskedColumns, tile.columns - j0), column = tile.column + j0;
    for (int64_t i0 = 0; i0 < tile.rows; i0 += kMaskedRows) {
      const int64_t row = tile.row + i0, rows = std::min(kMaskedRows, tile.rows - i0);
      multiply_masked(masked, first, end, t_column, row, rows, column, n, sums);
      for (int64_t i = 0; i < rows; ++i) {
        float* sum = sums + i * kMaskedLd;
        kernels.dropout(sum, n, masked.linears[first].dropout_seed, kDropoutLora,
                        static_cast<uint64_t>(row + i), static_cast<uint64_t>(column),
                        backward.call.dropout);
        kernels.add(tile.data + (i0 + i) * tile.ld + j0, sum, n);
      }
    }
  }
}

void store_masked(const void* user, const Kernels& kernels, const GemmTile& tile) {
  const MaskedDx& masked = *static_cast<const MaskedDx*>(user);
  const LoraCall& call = masked.backward->call;
  int64_t t_column = 0;
  for (int64_t first = 0; first < call.count;) {
    const int64_t end = end_of_mask(call, first);
    add_masked(masked, tile, first, end, t_column);
    for (; first < end; ++first) t_column += masked.linears[first].a.rows;
  }
  store_tile(&masked.store, kernels, tile);
}

void Backward::dx(const LoraViews* linears) const {
  std::array<GemmTerm, kMaxLoraLinears + 1> terms{};
  int count = 0;
  for (int64_t i = 0; i < call.count; ++i) {
    if (!linears[i].weight) continue;
    terms[count].a = operand(linears[i].dy, true);
    terms[count].b = operand(linears[i].weight, false);
    terms[count++].k = linears[i].b.rows;
  }
  MaskedDx masked{this, linears, {}};
  masked.store.out = call.dx;
  masked.store.accumulate = call.accumulate_dx;
  if (call.dropout > 0.f) {
    product(m, call.x.cols, terms.data(), count, store_masked, &masked);
    return;
  }
  Stack stack(kernels);
  for (int64_t i = 0; i < call.count; ++i) stack.add(linears[i]);
  terms[count].a = operand(t_columns(0, rank), true);
  terms[count].b = stacked_a(stack, false);
  terms[count++].k = rank;
  product(m, call.x.cols, terms.data(), count, store_tile, &masked.store);
}

}  // namespace

sl_status lora_backward(const sl_context& context, const LoraCall& call) {
  const Kernels* kernels = nullptr;
  if (const sl_status status = require_kernels(&kernels); status != SL_OK) return status;
  const int threads = thread_count(context);
  const int64_t gemm_bytes = gemm_workspace_bytes(*kernels, call.x.dtype, threads);
  int64_t bytes = 0;
  carve(ScratchLayout(nullptr), call, gemm_bytes, &bytes);
  void* memory = nullptr;
  if (const sl_status status = acquire_workspace(context, bytes, &memory); status != SL_OK) {
    return status;
  }
  const Scratch scratch = carve(ScratchLayout(memory), call, gemm_bytes, nullptr);
  const int64_t m = call.x.total_rows();
  const Backward backward{*kernels, call, scratch.gemm, threads, m, total_rank(call), scratch.t};

  std::array<LoraViews, kMaxLoraLinears> linears;
  int64_t t_column = 0;
  for (int64_t i = 0; i < call.count; ++i) {
    linears[i] = call.linears[i];
    const int64_t rank = linears[i].a.rows;
    if (!linears[i].s) linears[i].s = {scratch.s[i], DType::kFloat32, m, rank, rank};
    if (call.dx || linears[i].da) backward.t_of(linears[i], t_column);
    t_column += rank;
  }
  t_column = 0;
  for (int64_t first = 0; first < call.count;) {
    const int64_t end = end_of_mask(call, first);
    const DroppedX x{kernels, &call.x, call.dropout, linears[first].dropout_seed};
    Stack missing_s(*kernels), with_da(*kernels);
    int64_t end_column = t_column;
    for (int64_t i = first; i < end; ++i) {
      if (scratch.s[i] != nullptr) missing_s.add(linears[i]);
      if (linears[i].da) with_da.add(linears[i]);
      end_column += linears[i].a.rows;
    }
    multiply_by_a(missing_s, x, scratch.gemm, threads);
    if (with_da.count == end - first) {
      backward.da_of(with_da, x, t_column);
    } else {  // gaps in T: one by one
      int64_t column = t_column;
      for (int64_t i = first; i < end; column += linears[i++].a.rows) {
        if (!linears[i].da) continue;
        Stack one(*kernels);
        one.add(linears[i]);
        backward.da_of(one, x, column);
      }
    }
    t_column = end_column;
    first = end;
  }
  for (int64_t i = 0; i < call.count; ++i) {
    if (linears[i].db) backward.db_of(linears[i]);
  }
  if (call.dx) backward.dx(linears.data());
  return SL_OK;
}

}  // namespace sightline::cpu
