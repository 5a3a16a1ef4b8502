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
        row_(w_.kernels->row),
        gemm_(w_.kernels->gemm(w_.options.compute)),
        shape_(shape),
        s_(scratch),
        first_(first),
        count_(count) {}

  void forward() {
    pack_rows(w_.d, [&](int64_t i, float* x) { return normalized(i, x); });
    multiply(w_.w1, s_.q1, shape_.p_ld);
    pack_rows(w_.p, [&](int64_t i, float* x) {
      return activation(i, x, s_.q1, w_.b1, kDropoutProjector1,
                        chunk(&ChunkActivations::a1, i, shape_.p_ld));
    });
    multiply(w_.w2, s_.q2, shape_.p_ld);
    pack_rows(w_.p, [&](int64_t i, float* x) {
      return activation(i, x, s_.q2, w_.b2, kDropoutProjector2,
                        chunk(&ChunkActivations::a2, i, shape_.p_ld));
    });
    multiply(w_.w3, s_.out, shape_.out_ld);
    for (int64_t i = 0; i < count_; ++i) cosine(i);  // leaves dz in out
  }

  void backward() {
    pack_rows(w_.z, [&](int64_t i, float*) {
      const float* dz = s_.out + i * shape_.out_ld;
      return kept(dz, chunk(&ChunkActivations::dz, i, shape_.z_ld), w_.z);
    });
    multiply(w_.w3_backward, s_.out, shape_.out_ld);
    pack_rows(w_.p, [&](int64_t i, float*) {
      return activation_gradient(i, s_.q2, kDropoutProjector2,
                                 chunk(&ChunkActivations::dv, i, shape_.p_ld));
    });
    multiply(w_.w2_backward, s_.out, shape_.out_ld);
    pack_rows(w_.p, [&](int64_t i, float*) {
      return activation_gradient(i, s_.q1, kDropoutProjector1,
                                 chunk(&ChunkActivations::du, i, shape_.p_ld));
    });
    if (!call_.grad_hidden) return;
    multiply(w_.w1_backward, s_.out, shape_.out_ld);
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

  float* chunk(float* ChunkActivations::*buffer, int64_t i, int64_t ld) const {
    return run_.chunk ? run_.chunk->*buffer + (first_ + i - run_.chunk->first) * ld : nullptr;
  }
  static const float* kept(const float* row, float* copy, int64_t n) {
    if (copy) std::copy(row, row + n, copy);
    return row;
  }

  const float* normalized(int64_t i, float* x) {
    const View3& hidden = call_.hidden;
    row_.load(x, hidden.at(first_ + i, 0), hidden.dtype, w_.d);
    double mean, variance;
    row_.moments(x, w_.d, &mean, &variance);
    // Two fp32 numbers for the mean: with |mean| >> sigma one would lose the digits of x - mean.
    s_.mean_high[i] = static_cast<float>(mean);
    s_.mean_low[i] = static_cast<float>(mean - s_.mean_high[i]);
    s_.rstd[i] = static_cast<float>(1.0 / std::sqrt(variance + w_.options.ln_eps));
    row_.normalize(x, x, w_.d, s_.mean_high[i], s_.mean_low[i], s_.rstd[i]);
    if (run_.chunk) {
      *chunk(&ChunkActivations::mean_high, i, 1) = s_.mean_high[i];
      *chunk(&ChunkActivations::mean_low, i, 1) = s_.mean_low[i];
      *chunk(&ChunkActivations::rstd, i, 1) = s_.rstd[i];
    }
    return x;
  }

  void drop(float* x, int64_t i, DropoutStream stream) {
    if (!run_.dropout) return;
    row_.dropout(x, w_.p, call_.dropout_seed, stream, static_cast<uint64_t>(first_ + i), 0,
                 w_.options.dropout);
  }

  // Leaves the derivative in q, for the way back.
  const float* activation(int64_t i, float* x, float* q, const float* bias, DropoutStream stream,
                          float* copy) {
    float* row = q + i * shape_.p_ld;
    row_.silu(x, run_.backward ? row : nullptr, row, bias, w_.p);
    drop(x, i, stream);
    return kept(x, copy, w_.p);
  }

  const float* activation_gradient(int64_t i, const float* slope, DropoutStream stream,
                                   float* copy) {
    float* g = s_.out + i * shape_.out_ld;
    drop(g, i, stream);
    row_.multiply(g, slope + i * shape_.p_ld, w_.p);
    return kept(g, copy, w_.p);
  }

  // c, m c and dz = -(m/sum m)(t^ - c z^)/|z|, in fp64: no norm of finite rows overflows.
  void cosine(int64_t i) {
    const int64_t token = first_ + i, batch = token / call_.hidden.rows,
                  column = token % call_.hidden.rows;
    float* z = s_.out + i * shape_.out_ld;
    row_.add(z, w_.b3, w_.z);
    row_.load(s_.target, call_.teacher.at(token, 0), call_.teacher.dtype, w_.z);
    double zz, tt, zt;
    row_.cosine_sums(z, s_.target, w_.z, &zz, &tt, &zt);
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
    row_.combine(z, -scale / (z_size * t_size), s_.target, along_z, z, w_.z);
  }

  void hidden_gradient(int64_t i) {
    const View3 &hidden = call_.hidden, &gradient = call_.grad_hidden;
    float* g = s_.out + i * shape_.out_ld;
    row_.load(s_.rows, hidden.at(first_ + i, 0), hidden.dtype, w_.d);
    row_.layer_norm_backward(g, g, s_.rows, w_.d, s_.mean_high[i], s_.mean_low[i], s_.rstd[i]);
    row_.store(gradient.at(first_ + i, 0), gradient.dtype, g, w_.d, 1.f, nullptr, DType::kFloat32,
               call_.accumulate_hidden);
  }

  const AlignmentRun& run_;
  const AlignmentCall& call_;
  const Projector& w_;
  const RowKernels& row_;
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
  p_ld = scratch_row(projector.p);
  z_ld = scratch_row(projector.z);
  row_ld = scratch_row(std::max(projector.d, projector.p));
  out_ld = std::max(row_ld, z_ld);
}

BlockScratch BlockScratch::take(Arena& arena, const Projector& projector, const BlockShape& shape) {
  const GemmKernels& gemm = projector.kernels->gemm(projector.options.compute);
  BlockScratch s;
  int64_t packed = 0;
  for (int64_t k : {projector.d, projector.p, projector.z}) {
    packed = std::max(packed, packed_bytes(gemm, shape.rows, k));
  }
  s.packed = arena.take<char>(packed);
  s.q1 = arena.take<float>(shape.rows, shape.p_ld);
  s.q2 = arena.take<float>(shape.rows, shape.p_ld);
  s.out = arena.take<float>(shape.rows, shape.out_ld);
  s.rows = arena.take<float>(gemm.mr, shape.row_ld);
  s.target = arena.take<float>(shape.z_ld);
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
