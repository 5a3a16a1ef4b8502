#include "cpu/alignment/row_block.h"

#include <algorithm>
#include <cmath>

#include "common/nan.h"
#include "common/philox.h"
#include "cpu/gemm/pack.h"

namespace sightline::cpu {
namespace {

constexpr double kNormFloor = 1e-12;  // of F.normalize

// The packed left operand: k blocks, in each all panels.
int64_t packed_block_bytes(const GemmKernels& gemm, int64_t rows, int64_t k) {
  return checked_product(rows / gemm.mr, a_panel_bytes(gemm, k));
}
int64_t packed_bytes(const GemmKernels& gemm, int64_t rows, int64_t k) {
  const int64_t full = k / kGemmKc;
  return checked_sum(checked_product(full, packed_block_bytes(gemm, rows, kGemmKc)),
                     packed_block_bytes(gemm, rows, k % kGemmKc));
}

class Block {
 public:
  Block(const AlignmentRun& run, const BlockShape& shape, const BlockScratch& scratch,
        int64_t first, int64_t count)
      : run_(run),
        call_(*run.call),
        w_(*run.projector),
        layers_(w_.options.layers),
        row_(w_.kernels->row),
        activate_(row_.activate[static_cast<int>(w_.options.activation)]),
        gemm_(w_.kernels->gemm(w_.options.compute)),
        shape_(shape),
        s_(scratch),
        first_(first),
        count_(count) {}

  void forward() {
    pack_rows(w_.width(), [&](int64_t i, float* x) { return normalized(i, x); });
    for (int l = 0; l + 1 < layers_; ++l) {
      multiply(w_.layers[l].forward, s_.slope[l], shape_.ld[l]);
      pack_rows(w_.layers[l].out, [&](int64_t i, float* x) { return activation(l, i, x); });
    }
    multiply(w_.last().forward, s_.out, shape_.row_ld);
    for (int64_t i = 0; i < count_; ++i) cosine(i);  // leaves dz in out
  }

  void backward() {
    pack_rows(w_.features(), [&](int64_t i, float*) {
      return kept(s_.out + i * shape_.row_ld, &ChunkActivations::gradient, layers_ - 1, i);
    });
    for (int l = layers_ - 1; l > 0; --l) {
      multiply(w_.layers[l].backward, s_.out, shape_.row_ld);
      pack_rows(w_.layers[l].in, [&](int64_t i, float*) { return activation_gradient(l - 1, i); });
    }
    if (!call_.grad_hidden) return;
    multiply(w_.layers[0].backward, s_.out, shape_.row_ld);
    for (int64_t i = 0; i < count_; ++i) hidden_gradient(i);
  }

 private:
  // Packs `count_` rows of k elements; row_of(i, scratch) computes row i, in scratch or elsewhere.
  template <typename RowOf>
  void pack_rows(int64_t k, RowOf&& row_of) {
    const void* pieces[kMaxPanelWidth];
    const float* sources[kMaxPanelWidth];
    for (int64_t first = 0; first < count_; first += gemm_.mr) {
      const int rows = static_cast<int>(std::min<int64_t>(gemm_.mr, count_ - first));
      for (int i = 0; i < rows; ++i) sources[i] = row_of(first + i, s_.rows + i * shape_.row_ld);
      char* block = s_.packed;
      for (int64_t k0 = 0; k0 < k; k0 += kGemmKc) {
        const int64_t length = std::min(kGemmKc, k - k0);
        for (int i = 0; i < rows; ++i) pieces[i] = sources[i] + k0;
        gemm_.pack_rows(block + first / gemm_.mr * a_panel_bytes(gemm_, length), pieces, rows,
                        length, DType::kFloat32);
        block += packed_block_bytes(gemm_, shape_.rows, length);
      }
    }
  }

  // out = packed rows times b
  void multiply(const PackedB& b, float* out, int64_t ld) {
    const char* left = s_.packed;
    const char* right = static_cast<const char*>(b.data);
    const int64_t panels = (b.n + gemm_.nr - 1) / gemm_.nr;
    for (int64_t k0 = 0; k0 < b.k; k0 += kGemmKc) {
      const int64_t k = std::min(kGemmKc, b.k - k0);
      const int64_t right_stride = b_panel_bytes(gemm_, k);
      gemm_.multiply(count_, b.n, k, ALayout::kVectors, left, a_panel_bytes(gemm_, k), right,
                     right_stride, out, ld, k0 > 0, {});
      left += packed_block_bytes(gemm_, shape_.rows, k);
      right += panels * right_stride;
    }
  }

  // A copy of row i, as wide as layer l's output, for the weight gradients, if they are wanted.
  const float* kept(const float* row, float* (ChunkActivations::*buffers)[kMaxLayers], int l,
                    int64_t i) const {
    if (run_.chunk) {
      std::copy(row, row + w_.layers[l].out,
                (run_.chunk->*buffers)[l] + (first_ + i - run_.chunk->first) * shape_.ld[l]);
    }
    return row;
  }

  const float* normalized(int64_t i, float* x) {
    const View3& hidden = call_.hidden;
    row_.load(x, hidden.at(first_ + i, 0), hidden.dtype, w_.width());
    if (w_.options.norm == Norm::kNone) return x;
    statistics(i, x);
    row_.normalize(x, x, w_.width(), s_.mean_high[i], s_.mean_low[i], s_.rstd[i]);
    return x;
  }

  void statistics(int64_t i, const float* x) {
    double mean = 0, variance;
    if (w_.options.norm == Norm::kLayer) {
      row_.moments(x, w_.width(), &mean, &variance);
    } else {
      variance = row_.dot(x, x, w_.width()) / static_cast<double>(w_.width());
    }
    // Two fp32 numbers for the mean: with |mean| >> sigma one would lose the digits of x - mean.
    s_.mean_high[i] = static_cast<float>(mean);
    s_.mean_low[i] = static_cast<float>(mean - s_.mean_high[i]);
    s_.rstd[i] = static_cast<float>(1.0 / std::sqrt(variance + w_.options.norm_eps));
    if (run_.chunk) {
      const int64_t row = first_ + i - run_.chunk->first;
      run_.chunk->mean_high[row] = s_.mean_high[i];
      run_.chunk->mean_low[row] = s_.mean_low[i];
      run_.chunk->rstd[row] = s_.rstd[i];
    }
  }

  void drop(float* x, int l, int64_t i) {
    if (!run_.dropout) return;
    row_.dropout(x, w_.layers[l].out, call_.dropout_seed, kDropoutProjector[l],
                 static_cast<uint64_t>(first_ + i), 0, w_.options.dropout);
  }

  // Leaves the derivative in the place of the pre-activation, for the way back.
  const float* activation(int l, int64_t i, float* x) {
    const ProjectorLayer& layer = w_.layers[l];
    float* row = s_.slope[l] + i * shape_.ld[l];
    activate_(x, run_.backward ? row : nullptr, row, layer.bias, layer.out);
    drop(x, l, i);
    return kept(x, &ChunkActivations::activated, l, i);
  }

  const float* activation_gradient(int l, int64_t i) {
    float* g = s_.out + i * shape_.row_ld;
    drop(g, l, i);
    row_.multiply(g, s_.slope[l] + i * shape_.ld[l], w_.layers[l].out);
    return kept(g, &ChunkActivations::gradient, l, i);
  }

  // c, m c and dz = -(m/sum m)(t^ - c z^)/|z|, in fp64: no norm of finite rows overflows.
  void cosine(int64_t i) {
    const int64_t token = first_ + i, batch = token / call_.hidden.rows,
                  column = token % call_.hidden.rows;
    float* z = s_.out + i * shape_.row_ld;
    const int64_t n = w_.features();
    row_.add(z, w_.last().bias, n);
    row_.load(s_.target, call_.teacher.at(token, 0), call_.teacher.dtype, n);
    double zz, tt, zt;
    row_.cosine_sums(z, s_.target, n, &zz, &tt, &zt);
    const double z_norm = std::sqrt(zz), t_norm = std::sqrt(tt);
    // Written so that NaN is kept.
    const double z_size = z_norm < kNormFloor ? kNormFloor : z_norm;
    const double t_size = t_norm < kNormFloor ? kNormFloor : t_norm;
    const double c = zt / (z_size * t_size);
    const double weight =
        call_.token_weight ? *reinterpret_cast<const float*>(call_.token_weight.at(batch, column))
                           : 1.0;
    if (call_.cosine) {
      *reinterpret_cast<float*>(call_.cosine.at(batch, column)) = one_nan(c);
    }
    run_.token_loss[token] = weight * c;
    if (!run_.backward) return;
    const double scale = weight * run_.gradient_scale;
    // Below the floor z is divided by a constant, and the projection term vanishes.
    const double along_z = z_norm < kNormFloor ? 0.0 : scale * c / (z_size * z_size);
    row_.combine(z, -scale / (z_size * t_size), s_.target, along_z, z, n);
  }

  void hidden_gradient(int64_t i) {
    const View3 &hidden = call_.hidden, &gradient = call_.grad_hidden;
    const int64_t n = w_.width();
    float* g = s_.out + i * shape_.row_ld;
    if (w_.options.norm != Norm::kNone) {
      row_.load(s_.rows, hidden.at(first_ + i, 0), hidden.dtype, n);
      row_.norm_backward(g, g, s_.rows, n, s_.mean_high[i], s_.mean_low[i], s_.rstd[i],
                         w_.options.norm == Norm::kLayer);
    }
    row_.store(gradient.at(first_ + i, 0), gradient.dtype, g, n, 1.f, nullptr, DType::kFloat32,
               call_.accumulate_hidden);
  }

  const AlignmentRun& run_;
  const AlignmentCall& call_;
  const Projector& w_;
  const int layers_;
  const RowKernels& row_;
  const Activate activate_;
  const GemmKernels& gemm_;
  const BlockShape& shape_;
  const BlockScratch& s_;
  const int64_t first_, count_;
};

}  // namespace

BlockShape::BlockShape(const Projector& projector, int64_t tokens, int threads) {
  const GemmKernels& gemm = projector.kernels->gemm(projector.options.compute);
  // Enough rows that a weight fetched from memory meets many, few enough that a k block of the left
  // operand stays in L2.
  const int64_t most = round_up(gemm.mc, gemm.mr);
  mr = gemm.mr;
  panels = std::max<int64_t>(1, (tokens + mr - 1) / mr);
  // As many blocks as keep all threads equally busy.
  const int64_t rounds = std::max<int64_t>(1, (tokens + most * threads - 1) / (most * threads));
  blocks = std::min(rounds * threads, panels);
  rows = (panels + blocks - 1) / blocks * mr;
  for (int l = 0; l < projector.options.layers; ++l) ld[l] = scratch_row(projector.layers[l].out);
  row_ld = scratch_row(projector.widest());
}

BlockScratch BlockScratch::take(Arena& arena, const Projector& projector, const BlockShape& shape) {
  const GemmKernels& gemm = projector.kernels->gemm(projector.options.compute);
  const int last = projector.options.layers - 1;
  BlockScratch s{};
  s.packed = arena.take<char>(packed_bytes(gemm, shape.rows, projector.widest()));
  for (int l = 0; l < last; ++l) s.slope[l] = arena.take<float>(shape.rows, shape.ld[l]);
  s.out = arena.take<float>(shape.rows, shape.row_ld);
  s.rows = arena.take<float>(gemm.mr, shape.row_ld);
  s.target = arena.take<float>(shape.ld[last]);
  for (float** column : {&s.mean_high, &s.mean_low, &s.rstd}) {
    *column = arena.take<float>(shape.rows);
  }
  return s;
}

void run_block(const AlignmentRun& run, const BlockShape& shape, const BlockScratch& scratch,
               int64_t first, int64_t count) {
  Block block(run, shape, scratch, first, count);
  block.forward();
  if (run.backward) block.backward();
}

}  // namespace sightline::cpu
