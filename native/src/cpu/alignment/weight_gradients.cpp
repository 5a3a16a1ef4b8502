#include "cpu/alignment/weight_gradients.h"

#include <algorithm>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {
namespace {

View2 matrix(float* data, int64_t rows, int64_t cols, int64_t ld) {
  return {data, DType::kFloat32, rows, cols, ld};
}

// xhat of the chunk's tokens, computed while it is packed.
struct Normalized {
  const Kernels* kernels;
  const View3* hidden;
  const ChunkActivations* chunk;
};

void fetch_normalized(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const auto& x = *static_cast<const Normalized*>(user);
  x.kernels->row.load(dst, x.hidden->at(x.chunk->first + row, column), x.hidden->dtype, n);
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
  g.p_ld = shape.p_ld, g.z_ld = shape.z_ld;
  for (float** buffer : {&g.chunk.a1, &g.chunk.a2, &g.chunk.dv, &g.chunk.du}) {
    *buffer = floats(rows, g.p_ld);
  }
  g.chunk.dz = floats(rows, g.z_ld);
  for (float** buffer : {&g.chunk.mean_high, &g.chunk.mean_low, &g.chunk.rstd}) {
    *buffer = floats(rows);
  }
  g.g1 = floats(w.p, w.d), g.g2 = floats(w.p, w.p), g.g3 = floats(w.z, w.p);
  g.s1 = floats(w.p), g.s2 = floats(w.p), g.s3 = floats(w.z);
  g.gemm_scratch = arena.take<char>(gemm_workspace_bytes(*w.kernels, w.options.compute, threads));
  return g;
}

void WeightGradients::add_chunk(const Projector& w, const AlignmentCall& call, int64_t count,
                                int threads) {
  const bool accumulate = chunk.first > 0;
  const View2 dz = matrix(chunk.dz, count, w.z, z_ld), dv = matrix(chunk.dv, count, w.p, p_ld);
  const View2 du = matrix(chunk.du, count, w.p, p_ld);
  const View2 a1 = matrix(chunk.a1, count, w.p, p_ld), a2 = matrix(chunk.a2, count, w.p, p_ld);
  const Normalized x{w.kernels, &call.hidden, &chunk};
  const Operand xhat{{nullptr, DType::kFloat32, 1, count, w.d, 0, 0}, false, fetch_normalized, &x};
  add_product(w, dz, operand(a2, false), g3, w.p, accumulate, gemm_scratch, threads);
  add_product(w, dv, operand(a1, false), g2, w.p, accumulate, gemm_scratch, threads);
  add_product(w, du, xhat, g1, w.d, accumulate, gemm_scratch, threads);
  column_sums(*w.kernels, dz, s3, accumulate, threads);
  column_sums(*w.kernels, dv, s2, accumulate, threads);
  column_sums(*w.kernels, du, s1, accumulate, threads);
}

void WeightGradients::finish(const Projector& w, const AlignmentCall& call, int threads) {
  const ProjectorViews& out = call.grad_weights;
  const bool accumulate = call.accumulate_weights;
  const RowKernels& row = w.kernels->row;
  write_out(w, out.w3, g3, accumulate, threads);
  write_out(w, out.b3, s3, accumulate, 1);
  write_out(w, out.w2, g2, accumulate, threads);
  write_out(w, out.b2, s2, accumulate, 1);
  write_out(w, out.b1, s1, accumulate, 1);

  // gamma and beta reduce over p; threads take columns of D.
  constexpr int64_t kPiece = 256;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t j = 0; j < w.d; j += kPiece) {
    const int64_t n = std::min(kPiece, w.d - j);
    double gamma[kPiece] = {}, beta[kPiece] = {};
    for (int64_t i = 0; i < w.p; ++i) {
      const float *plain = w.w1_plain + i * w.d + j, *product = g1 + i * w.d + j;
      const double s = s1[i];
      for (int64_t e = 0; e < n; ++e) {
        gamma[e] += static_cast<double>(plain[e]) * product[e];
        beta[e] += plain[e] * s;
      }
    }
    float rounded[kPiece];
    std::copy(gamma, gamma + n, rounded);
    row.store(out.ln_weight.at(0, j), out.ln_weight.dtype, rounded, n, 1.f, nullptr,
              DType::kFloat32, accumulate);
    std::copy(beta, beta + n, rounded);
    row.store(out.ln_bias.at(0, j), out.ln_bias.dtype, rounded, n, 1.f, nullptr, DType::kFloat32,
              accumulate);
  }

#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < w.p; ++i) {
    float* g = g1 + i * w.d;
    for (int64_t j = 0; j < w.d; ++j) g[j] = g[j] * w.gamma[j] + s1[i] * w.beta[j];
    row.store(out.w1.at(i, 0), out.w1.dtype, g, w.d, 1.f, nullptr, DType::kFloat32, accumulate);
  }
}

}  // namespace sightline::cpu
