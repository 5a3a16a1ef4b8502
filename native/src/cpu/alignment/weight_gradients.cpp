#include "cpu/alignment/weight_gradients.h"

#include <algorithm>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {
namespace {

View2 matrix(float* data, int64_t rows, int64_t cols, int64_t ld) {
  return {data, DType::kFloat32, rows, cols, ld};
}

// xhat of the chunk's tokens, computed while it is packed.
struct FirstInput {
  const Kernels* kernels;
  bool normalized;
  const View3* hidden;
  const ChunkActivations* chunk;
};

void fetch_first_input(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const auto& x = *static_cast<const FirstInput*>(user);
  x.kernels->row.load(dst, x.hidden->at(x.chunk->first + row, column), x.hidden->dtype, n);
  if (!x.normalized) return;
  x.kernels->row.normalize(dst, dst, n, x.chunk->mean_high[row], x.chunk->mean_low[row],
                           x.chunk->rstd[row]);
}

// sums[j] (+)= sum over rows of matrix[., j]; threads take columns, so rows are added in order.
void column_sums(const Kernels& kernels, const View2& rows, float* sums, bool accumulate,
                 int threads) {
  constexpr int64_t kPiece = 256;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t j = 0; j < rows.cols; j += kPiece) {
    const int64_t n = std::min(kPiece, rows.cols - j);
    float sum[kPiece] = {};
    for (int64_t i = 0; i < rows.rows; ++i) {
      kernels.row.add(sum, reinterpret_cast<const float*>(rows.at(i, j)), n);
    }
    for (int64_t e = 0; e < n; ++e) sums[j + e] = accumulate ? sums[j + e] + sum[e] : sum[e];
  }
}

// g (+)= left^T right over the chunk's rows
void add_product(const Projector& w, const View2& left, const Operand& right, float* g,
                 int64_t columns, bool accumulate, void* scratch, int threads) {
  StoreEpilogue store;
  store.out = {g, DType::kFloat32, 1, left.cols, columns, 0, columns};
  store.accumulate = accumulate;
  const KSegment segment{operand(left, false), right, left.rows, nullptr};
  gemm(*w.kernels, {left.cols, columns, w.options.compute, &segment, 1, store_tile, &store},
       scratch, threads);
}

// Rows of a compact fp32 matrix into the user's gradient.
void write_out(const Projector& w, const View2& out, const float* values, bool accumulate,
               int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && out.rows > 64)
  for (int64_t i = 0; i < out.rows; ++i) {
    w.kernels->row.store(out.at(i, 0), out.dtype, values + i * out.cols, out.cols, 1.f, nullptr,
                         DType::kFloat32, accumulate);
  }
}

}  // namespace

WeightGradients WeightGradients::take(Arena& arena, const Projector& w, const BlockShape& shape,
                                      int64_t tokens, int threads) {
  WeightGradients g{};
  const int64_t rows = std::min(kChunkTokens, tokens);
  // store() and add() read whole vectors of the last row
  const auto floats = [&](int64_t rows_of, int64_t of = 1) {
    return arena.take<float>(checked_sum(checked_product(rows_of, of), kRowPad));
  };
  for (int l = 0; l < w.options.layers; ++l) {
    const ProjectorLayer& layer = w.layers[l];
    g.ld[l] = shape.ld[l];
    if (l + 1 < w.options.layers) g.chunk.activated[l] = floats(rows, g.ld[l]);
    g.chunk.gradient[l] = floats(rows, g.ld[l]);
    g.products[l] = floats(layer.out, layer.in);
    g.sums[l] = floats(layer.out);
  }
  for (float** buffer : {&g.chunk.mean_high, &g.chunk.mean_low, &g.chunk.rstd}) {
    *buffer = floats(rows);
  }
  g.gemm_scratch = arena.take<char>(gemm_workspace_bytes(*w.kernels, w.options.compute, threads));
  return g;
}

void WeightGradients::add_chunk(const Projector& w, const AlignmentCall& call, int64_t count,
                                int threads) {
  const bool accumulate = chunk.first > 0;
  const FirstInput x{w.kernels, w.options.norm != Norm::kNone, &call.hidden, &chunk};
  for (int l = w.options.layers - 1; l >= 0; --l) {
    const ProjectorLayer& layer = w.layers[l];
    const View2 gradient = matrix(chunk.gradient[l], count, layer.out, ld[l]);
    const Operand input =
        l > 0 ? operand(matrix(chunk.activated[l - 1], count, layer.in, ld[l - 1]), false)
              : Operand{{nullptr, DType::kFloat32, 1, count, layer.in, 0, 0},
                        false,
                        fetch_first_input,
                        &x};
    add_product(w, gradient, input, products[l], layer.in, accumulate, gemm_scratch, threads);
    column_sums(*w.kernels, gradient, sums[l], accumulate, threads);
  }
}

void WeightGradients::finish(const Projector& w, const AlignmentCall& call, int threads) {
  const ProjectorViews& out = call.grad_weights;
  const bool accumulate = call.accumulate_weights;
  if (w.w1_plain != nullptr) unfold(w, call, threads);
  for (int l = 0; l < w.options.layers; ++l) {
    write_out(w, out.layers[l].weight, products[l], accumulate, threads);
    if (out.layers[l].bias) write_out(w, out.layers[l].bias, sums[l], accumulate, 1);
  }
}

// dgamma and dbeta into the user's gradients, dW_1 in the place of G_1.
void WeightGradients::unfold(const Projector& w, const AlignmentCall& call, int threads) {
  const ProjectorViews& out = call.grad_weights;
  const bool accumulate = call.accumulate_weights;
  const RowKernels& row = w.kernels->row;
  const int64_t d = w.layers[0].in, p = w.layers[0].out;
  float *g1 = products[0], *s1 = sums[0];

  // gamma and beta reduce over p; threads take columns of D.
  constexpr int64_t kPiece = 256;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t j = 0; j < d; j += kPiece) {
    const int64_t n = std::min(kPiece, d - j);
    double gamma[kPiece] = {}, beta[kPiece] = {};
    for (int64_t i = 0; i < p; ++i) {
      const float *plain = w.w1_plain + i * d + j, *product = g1 + i * d + j;
      const double s = s1[i];
      for (int64_t e = 0; e < n; ++e) {
        gamma[e] += static_cast<double>(plain[e]) * product[e];
        beta[e] += plain[e] * s;
      }
    }
    float rounded[kPiece];
    std::copy(gamma, gamma + n, rounded);
    row.store(out.norm_weight.at(0, j), out.norm_weight.dtype, rounded, n, 1.f, nullptr,
              DType::kFloat32, accumulate);
    std::copy(beta, beta + n, rounded);
    if (!out.norm_bias) continue;
    row.store(out.norm_bias.at(0, j), out.norm_bias.dtype, rounded, n, 1.f, nullptr,
              DType::kFloat32, accumulate);
  }

#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < p; ++i) {
    float* g = g1 + i * d;
    for (int64_t j = 0; j < d; ++j) g[j] = g[j] * w.gamma[j] + s1[i] * w.beta[j];
  }
}

}  // namespace sightline::cpu
