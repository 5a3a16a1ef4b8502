// y_i = x W_i^T + bias_i + scale_i S_i B_i^T,  S_i = drop(x) A_i^T           x [M,K], y_i [M,N_i]
//
//   1. S of all linears that share a mask, in one product over x.             S_i [M,r_i] fp32
//   2. For each linear one product whose k runs over K columns of x and then over the r_i columns
//      of scale_i S_i, in the same fp32 accumulators; y is rounded and written once. Without a
//      weight only the r_i columns are left and y is added to.
//
// Products run in x's dtype: with bf16, S is kept in fp32 and rounded while step 2 packs it, like
// every other operand. Scratch: one S per linear that has none from the caller, and tiles.
#include <optional>

#include "cpu/backend.h"
#include "cpu/isa.h"
#include "cpu/lora/products.h"
#include "cpu/workspace.h"

namespace sightline::cpu {
namespace {

void fetch_scaled_s(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const LoraViews& linear = *static_cast<const LoraViews*>(user);
  const float* s = static_cast<const float*>(linear.s.data) + row * linear.s.row_stride + column;
  for (int64_t j = 0; j < n; ++j) dst[j] = linear.scale * s[j];
}

// y is S's only reader: `needs` are the products that make S.
void add_y(Products& products, const View3& x, const LoraViews& linear, int needs) {
  Product& product = products.next();
  int count = 0;
  if (linear.weight) {
    product.segments[count].a = operand(x, true);
    product.segments[count].b = operand(linear.weight, true);
    product.segments[count++].k = x.cols;
  }
  const int reads_s = count;
  product.segments[count].a = operand(linear.s, true);
  product.segments[count].a.fetch = fetch_scaled_s;
  product.segments[count].a.user = &linear;
  product.segments[count].b = operand(linear.b, true);
  product.segments[count++].k = linear.b.cols;

  product.store.out = linear.y;
  product.store.bias = linear.bias;
  product.store.accumulate = !linear.weight;
  products.add(x.total_rows(), linear.b.rows, product.segments, count, store_tile, &product.store,
               needs, reads_s);
}

}  // namespace

sl_status lora_forward(const sl_context& context, const LoraCall& call) {
  const Kernels* kernels = nullptr;
  SL_TRY(require_kernels(&kernels));
  if (call.x.total_rows() == 0) return SL_OK;
  const int threads = thread_count(context);

  std::optional<Products> products;
  const sl_status status = lay_out_workspace(context, [&](Arena& arena) {
    products.emplace(arena, *kernels, call, 2 * call.count, threads,
                     [](const LoraViews&) { return true; });
  });
  if (status != SL_OK) return status;
  products->add_s();
  const int s_products = products->count();
  for (int64_t i = 0; i < call.count; ++i) {
    add_y(*products, call.x, products->linears()[i], s_products);
  }
  products->run();
  return SL_OK;
}

}  // namespace sightline::cpu
