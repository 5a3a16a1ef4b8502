#include "cpu/alignment/projector.h"

#include <algorithm>
#include <cstdlib>

#include "cpu/gemm/pack.h"

namespace sightline::cpu {

struct Projector::Storage {
  char *forward[kMaxLayers], *backward[kMaxLayers];
  float *bias[kMaxLayers], *gamma, *beta, *w1_plain;
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
  const auto packed = [&](int64_t k, int64_t n) {
    return arena.take<char>(packed_b_bytes(*kernels, options.compute, k, n));
  };
  const auto vector = [&](int64_t n) { return arena.take<float>(round_up(n, kRowPad)); };
  Storage s{};
  for (int i = 0; i < options.layers; ++i) {
    const ProjectorLayer& layer = layers[i];
    s.forward[i] = packed(layer.in, layer.out);
    s.backward[i] = packed(layer.out, layer.in);
    s.bias[i] = vector(layer.out);
  }
  s.gamma = vector(width()), s.beta = vector(width());
  if (affine_ && options.trainable) {
    s.w1_plain =
        arena.take<float>(checked_sum(checked_product(layers[0].out, layers[0].in), kRowPad));
  }
  s.bytes = arena.bytes();
  return s;
}

bool Projector::allocate(const Kernels& table, const ProjectorViews& weights,
                         const ProjectorOptions& opts) {
  kernels = &table;
  options = opts;
  affine_ = static_cast<bool>(weights.norm_weight);
  for (int i = 0; i < options.layers; ++i) {
    layers[i].in = weights.layers[i].weight.cols;
    layers[i].out = weights.layers[i].weight.rows;
  }
  memory_ = std::aligned_alloc(kScratchAlignment, static_cast<size_t>(layout(nullptr).bytes));
  return memory_ != nullptr;
}

Projector::~Projector() { std::free(memory_); }

int64_t Projector::widest() const {
  int64_t most = width();
  for (int i = 0; i < options.layers; ++i) most = std::max(most, layers[i].out);
  return most;
}

// b1' and, where it is kept, W1 as it is.
void Projector::fold_bias(const Storage& s, const View2& w1, int threads) {
  const RowKernels& row = kernels->row;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < w1.rows; ++i) {
    constexpr int64_t kPiece = 512;
    float plain[kPiece + kRowPad];
    double dot_beta = 0;
    for (int64_t j = 0; j < w1.cols; j += kPiece) {
      const int64_t n = w1.cols - j < kPiece ? w1.cols - j : kPiece;
      row.load(plain, w1.at(i, j), w1.dtype, n);
      dot_beta += row.dot(plain, s.beta + j, n);
      if (s.w1_plain) std::copy(plain, plain + n, s.w1_plain + i * w1.cols + j);
    }
    s.bias[0][i] = static_cast<float>(s.bias[0][i] + dot_beta);
  }
}

void Projector::read(const ProjectorViews& weights, int threads) {
  const Storage s = layout(memory_);
  const auto load = [&](float* to, const View2& from, int64_t n, float missing) {
    if (from) return kernels->row.load(to, from.data, from.dtype, n);
    std::fill(to, to + round_up(n, kRowPad), missing);
  };
  load(s.gamma, weights.norm_weight, width(), 1.f);
  load(s.beta, weights.norm_bias, width(), 0.f);
  const Folded folded{kernels, weights.layers[0].weight, s.gamma};
  for (int i = 0; i < options.layers; ++i) {
    ProjectorLayer& layer = layers[i];
    const LayerViews& from = weights.layers[i];
    load(s.bias[i], from.bias, layer.out, 0.f);
    const auto pack = [&](bool along_k, int64_t k, int64_t n, char* out) {
      const Operand b =
          i == 0 && affine_ ? folded_operand(folded, along_k) : operand(from.weight, along_k);
      return pack_b(*kernels, options.compute, b, k, n, out, threads);
    };
    layer.forward = pack(true, layer.in, layer.out, s.forward[i]);
    layer.backward = pack(false, layer.out, layer.in, s.backward[i]);
    layer.bias = s.bias[i];
  }
  if (!affine_) return;
  fold_bias(s, weights.layers[0].weight, threads);
  if (options.trainable) gamma = s.gamma, beta = s.beta, w1_plain = s.w1_plain;
}

}  // namespace sightline::cpu
