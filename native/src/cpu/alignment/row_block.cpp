#include "cpu/alignment/row_block.h"

#include <algorithm>
#include <cmath>

#include "common/nan.h"
#include "common/philox.h"
#include "cpu/alignment/block_product.h"
#include "cpu/alignment/row_loss.h"

namespace sightline::cpu {
namespace {

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
        product_(w_.kernels->gemm(w_.options.compute), scratch.packed, shape.rows, count),
        shape_(shape),
        s_(scratch),
        first_(first),
        count_(count) {}

  void forward() {
    pack_rows(w_.width(), [&](int64_t i, float* x) { return normalized(i, x); });
    for (int l = 0; l + 1 < layers_; ++l) {
      product_.multiply(w_.layers[l].forward, s_.slope[l], shape_.ld[l]);
      pack_rows(w_.layers[l].out, [&](int64_t i, float* x) { return activation(l, i, x); });
    }
    product_.multiply(w_.last().forward, s_.out, shape_.row_ld);
    losses();
  }

  void backward() {
    pack_rows(w_.features(), [&](int64_t i, float*) {
      return kept(s_.out + i * shape_.row_ld, &ChunkActivations::gradient, layers_ - 1, i);
    });
    for (int l = layers_ - 1; l > 0; --l) {
      product_.multiply(w_.layers[l].backward, s_.out, shape_.row_ld);
      pack_rows(w_.layers[l].in, [&](int64_t i, float*) { return activation_gradient(l - 1, i); });
    }
    if (!call_.grad_hidden) return;
    product_.multiply(w_.layers[0].backward, s_.out, shape_.row_ld);
    for (int64_t i = 0; i < count_; ++i) hidden_gradient(i);
  }

 private:
  // Packs rows of k elements; row_of(i, scratch) computes row i, in scratch or elsewhere.
  template <typename RowOf>
  void pack_rows(int64_t k, RowOf&& row_of) {
    product_.pack(k,
                  [&](int64_t i, int slot) { return row_of(i, s_.rows + slot * shape_.row_ld); });
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

  // m v of each token, and dz in the place of z.
  void losses() {
    const int64_t n = w_.features();
    for (int64_t i = 0; i < count_; ++i) {
      float* z = s_.out + i * shape_.row_ld;
      row_.add(z, w_.last().bias, n);
      run_.teacher->load(first_ + i, 0, n, s_.target);
      const RowCosine cosine(row_, z, s_.target, n);
      write_cosine(first_ + i, cosine.cosine);
      if (run_.contrast) {
        s_.contrast.cosines[i] = cosine;
        row_.combine(z, 1 / cosine.z_size, z, 0, z, n);
        continue;
      }
      weigh(first_ + i, [&](const double* scale) {
        return row_loss(call_.loss_options, cosine, row_, z, s_.target, n, scale);
      });
    }
    if (!run_.contrast) return;
    ContrastBlock contrast(*w_.kernels, w_.options.compute, *run_.contrast, *run_.teacher,
                           s_.contrast, shape_.rows, first_, count_, shape_.row_ld);
    contrast.compare(product_, s_.out, run_.backward);
    for (int64_t i = 0; i < count_; ++i) {
      weigh(first_ + i, [&](const double* scale) {
        return contrast.finish(i, s_.out + i * shape_.row_ld, s_.target, scale);
      });
    }
  }

  void write_cosine(int64_t token, double cosine) {
    if (!call_.cosine) return;
    const int64_t tokens = call_.hidden.rows;
    *reinterpret_cast<float*>(call_.cosine.at(token / tokens, token % tokens)) = one_nan(cosine);
  }

  // loss_of(scale of the gradient, or null where none is wanted)
  template <typename LossOf>
  void weigh(int64_t token, LossOf&& loss_of) {
    const double weight = token_weight(call_, token), scale = weight * run_.gradient_scale;
    run_.token_loss[token] = weight * loss_of(run_.backward ? &scale : nullptr);
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
  const BlockProduct product_;
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

BlockScratch BlockScratch::take(Arena& arena, const Projector& projector, const BlockShape& shape,
                                const LossOptions& loss) {
  const GemmKernels& gemm = projector.kernels->gemm(projector.options.compute);
  const int last = projector.options.layers - 1;
  BlockScratch s{};
  s.packed = arena.take<char>(packed_rows_bytes(gemm, shape.rows, projector.widest()));
  for (int l = 0; l < last; ++l) s.slope[l] = arena.take<float>(shape.rows, shape.ld[l]);
  s.out = arena.take<float>(shape.rows, shape.row_ld);
  s.rows = arena.take<float>(gemm.mr, shape.row_ld);
  s.target = arena.take<float>(shape.ld[last]);
  for (float** column : {&s.mean_high, &s.mean_low, &s.rstd}) {
    *column = arena.take<float>(shape.rows);
  }
  if (loss.kind == LossKind::kInfoNce) {
    s.contrast =
        ContrastScratch::take(arena, gemm, shape.rows, shape.row_ld, loss, projector.features());
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
