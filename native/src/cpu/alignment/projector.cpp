#include "cpu/alignment/projector.h"

#include <cstdlib>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {

struct Projector::Storage {
  char *w1, *w2, *w3, *w1_backward, *w2_backward, *w3_backward;
  float *gamma, *beta, *b1, *b2, *b3, *w1_plain;
  int64_t bytes;
};

namespace {

// Row p of W1' while it is packed.
struct Folded {
  const Kernels* kernels;
  View2 w1;
  const float* gamma;
};

void fetch_folded(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const auto& folded = *static_cast<const Folded*>(user);
  folded.kernels->row.load(dst, folded.w1.at(row, column), folded.w1.dtype, n);
  for (int64_t i = 0; i < n; ++i) dst[i] *= folded.gamma[column + i];
}

Operand folded_operand(const Folded& folded, bool along_k) {
  Operand result = operand(folded.w1, along_k);
  result.fetch = fetch_folded;
  result.user = &folded;
  return result;
}

}  // namespace

Projector::Storage Projector::layout(void* base) const {
  Arena arena(base);
  const DType c = options.compute;
  const auto packed = [&](int64_t k, int64_t n) {
    return arena.take<char>(packed_b_bytes(*kernels, c, k, n));
  };
  const auto vector = [&](int64_t n) { return arena.take<float>(round_up(n, kRowPad)); };
  Storage s{};
  s.w1 = packed(d, p), s.w2 = packed(p, p), s.w3 = packed(p, z);
  s.w1_backward = packed(p, d), s.w2_backward = packed(p, p), s.w3_backward = packed(z, p);
  s.gamma = vector(d), s.beta = vector(d);
  s.b1 = vector(p), s.b2 = vector(p), s.b3 = vector(z);
  s.w1_plain =
      options.trainable ? arena.take<float>(checked_sum(checked_product(p, d), kRowPad)) : nullptr;
  s.bytes = arena.bytes();
  return s;
}

bool Projector::allocate(const Kernels& table, const ProjectorViews& weights,
                         const AlignmentOptions& opts) {
  kernels = &table;
  options = opts;
  d = weights.w1.cols, p = weights.w1.rows, z = weights.w3.rows;
  memory_ = std::aligned_alloc(kScratchAlignment, static_cast<size_t>(layout(nullptr).bytes));
  return memory_ != nullptr;
}

Projector::~Projector() { std::free(memory_); }

void Projector::read(const ProjectorViews& weights, int threads) {
  const Storage s = layout(memory_);
  const RowKernels& row = kernels->row;
  row.load(s.gamma, weights.ln_weight.data, weights.ln_weight.dtype, d);
  row.load(s.beta, weights.ln_bias.data, weights.ln_bias.dtype, d);
  row.load(s.b1, weights.b1.data, weights.b1.dtype, p);
  row.load(s.b2, weights.b2.data, weights.b2.dtype, p);
  row.load(s.b3, weights.b3.data, weights.b3.dtype, z);

  const Folded folded{kernels, weights.w1, s.gamma};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < p; ++i) {
    constexpr int64_t kPiece = 512;
    float plain[kPiece + kRowPad];
    double dot_beta = 0;
    for (int64_t j = 0; j < d; j += kPiece) {
      const int64_t n = d - j < kPiece ? d - j : kPiece;
      row.load(plain, weights.w1.at(i, j), weights.w1.dtype, n);
      dot_beta += row.dot(plain, s.beta + j, n);
      if (s.w1_plain) {
        for (int64_t e = 0; e < n; ++e) s.w1_plain[i * d + j + e] = plain[e];
      }
    }
    s.b1[i] = static_cast<float>(s.b1[i] + dot_beta);
  }

  const auto pack = [&](const Operand& b, int64_t k, int64_t n, char* out) {
    return pack_b(*kernels, options.compute, b, k, n, out, threads);
  };
  w1 = pack(folded_operand(folded, true), d, p, s.w1);
  w2 = pack(operand(weights.w2, true), p, p, s.w2);
  w3 = pack(operand(weights.w3, true), p, z, s.w3);
  w1_backward = pack(folded_operand(folded, false), p, d, s.w1_backward);
  w2_backward = pack(operand(weights.w2, false), p, p, s.w2_backward);
  w3_backward = pack(operand(weights.w3, false), z, p, s.w3_backward);
  b1 = s.b1, b2 = s.b2, b3 = s.b3;
  if (options.trainable) gamma = s.gamma, beta = s.beta, w1_plain = s.w1_plain;
}

}  // namespace sightline::cpu
