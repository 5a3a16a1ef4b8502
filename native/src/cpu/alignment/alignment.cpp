// Alignment loss of M = B N tokens, its gradient of the hidden states, and of a trainable
// projector.
//
//   xhat = (h - mu) rho      LayerNorm: mu, rho = 1/sqrt(var + eps); RMSNorm: mu = 0, rho =
//                            1/sqrt(mean h^2 + eps); none: xhat = h; fp64 sums, two passes
//   u_1 = xhat W1'^T + b1'   the norm's affine folded in
//   u_l = a_{l-1} W_l^T + b_l      a_l = drop(act(u_l))      z = u_n
//   loss = sum m v / sum m     v of z and t: row_loss.h, contrast.h
//   dz = s (m/sum m) dv/dz                                       s = grad_scale
//   du_{l-1} = (du_l W_l) drop' act'(u_{l-1})    g = du_1 W1'
//   dh = rho (g - k1 - xhat k2)    k1 = mean g, of LayerNorm alone    k2 = mean g xhat, fp64 sums
//
// h [B,N,D], t [B,N,Z], each fp32 or bf16; weights fp32 or bf16. The left operand of every product
// is rounded to the compute type when it is packed (xhat, a_l, du_l), the weights when the
// handle is made; products are summed in fp32; everything between products is fp32. On this backend
// rows are normalised before the first product rather than in its epilogue: packing touches them
// anyhow, and nothing cancels where |mu| >> sigma. Likewise k1 and k2 are taken from g's rows,
// which are in the cache when dh is written. Nothing is saved from forward to backward but act'(u_l)
// of a row block, in its scratch: O(threads x row block), 8 bytes a token for the loss
// sum, and what weight_gradients.h says when weight gradients are asked for.
#include "cpu/backend.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "common/nan.h"
#include "cpu/alignment/row_block.h"
#include "cpu/alignment/weight_gradients.h"
#include "cpu/isa.h"

namespace sightline::cpu {
namespace {

double total_weight(const AlignmentCall& call, int64_t tokens) {
  if (!call.token_weight) return static_cast<double>(tokens);
  double sum = 0;
  for (int64_t i = 0; i < tokens; ++i) sum += token_weight(call, i);
  return sum;
}

void zero(const View2& out) {
  for (int64_t i = 0; out && i < out.rows; ++i) {
    std::memset(out.at(i, 0), 0, static_cast<size_t>(out.cols * element_size(out.dtype)));
  }
}

// No tokens or no weight: all gradients are 0.
void zero_gradients(const AlignmentCall& call) {
  const View3& dh = call.grad_hidden;
  if (dh && !call.accumulate_hidden) {
    for (int64_t i = 0; i < dh.total_rows(); ++i) {
      std::memset(dh.at(i, 0), 0, static_cast<size_t>(dh.cols * element_size(dh.dtype)));
    }
  }
  if (call.accumulate_weights) return;
  zero(call.grad_weights.norm_weight);
  zero(call.grad_weights.norm_bias);
  for (const LayerViews& layer : call.grad_weights.layers) zero(layer.weight), zero(layer.bias);
}

// No thread for work that is done before it wakes up.
int useful_threads(const Projector& w, const AlignmentCall& call, bool gradients, int threads) {
  const double tokens = static_cast<double>(call.hidden.total_rows());
  double token = 0;
  for (const ProjectorLayer& layer : w.layers)
    token += static_cast<double>(layer.in) * static_cast<double>(layer.out);
  if (call.loss_options.kind == LossKind::kInfoNce) {
    token += tokens * static_cast<double>(w.features());
  }
  const double products = token * tokens * (gradients ? 2 : 1);
  return std::min(threads, 1 + static_cast<int>(std::min(
                                   products / static_cast<double>(kProductsPerThread), 1e6)));
}

// Everything a call needs, over the workspace of a given thread count.
struct CallScratch {
  double* token_loss;
  BlockScratch* blocks;  // one for each thread
  TeacherRows teacher;
  ContrastTargets contrast;  // of InfoNCE
  WeightGradients gradients;

  static CallScratch take(Arena& arena, const Projector& w, const BlockShape& shape,
                          const AlignmentCall& call, int threads, bool weights) {
    const int64_t tokens = call.hidden.total_rows();
    CallScratch s{};
    s.teacher = TeacherRows::take(arena, *w.kernels, call);
    if (call.loss_options.kind == LossKind::kInfoNce) {
      s.contrast = ContrastTargets::take(arena, *w.kernels, w.options.compute, call);
    }
    s.token_loss = arena.take<double>(tokens);
    s.blocks = arena.take<BlockScratch>(threads);
    for (int i = 0; i < threads; ++i) {
      const BlockScratch block = BlockScratch::take(arena, w, shape, call.loss_options);
      if (s.blocks) s.blocks[i] = block;
    }
    if (weights) s.gradients = WeightGradients::take(arena, w, shape, tokens, threads);
    return s;
  }
};

void run_blocks(const AlignmentRun& run, const BlockShape& shape, const CallScratch& scratch,
                int64_t first, int64_t tokens, int threads) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < shape.blocks; ++i) {
    const int64_t begin = shape.begin(i), end = std::min(shape.begin(i + 1), tokens);
    if (begin >= end) continue;  // the last chunk may be smaller
    run_block(run, shape, scratch.blocks[omp_get_thread_num()], first + begin, end - begin);
  }
}

}  // namespace

sl_status alignment_create(const ProjectorViews& weights, const ProjectorOptions& options,
                           void** out) {
  const Kernels* table;
  SL_TRY(require_kernels(&table));
  auto projector = std::make_unique<Projector>();
  if (!projector->allocate(*table, weights, options)) {
    return set_error(SL_OUT_OF_MEMORY, "alignment: no memory for the packed projector");
  }
  projector->read(weights, thread_count({}));
  *out = projector.release();
  return SL_OK;
}

sl_status alignment_update(void* alignment, const sl_context& context,
                           const ProjectorViews& weights) {
  static_cast<Projector*>(alignment)->read(weights, thread_count(context));
  return SL_OK;
}

void alignment_destroy(void* alignment) { delete static_cast<Projector*>(alignment); }

sl_status alignment_loss(const void* alignment, const sl_context& context,
                         const AlignmentCall& call) {
  const auto& w = *static_cast<const Projector*>(alignment);
  const int64_t tokens = call.hidden.total_rows();
  const double weight = total_weight(call, tokens);
  const bool weights_wanted = static_cast<bool>(call.grad_weights.layers[0].weight);
  const bool gradients = (weights_wanted || call.grad_hidden) && weight != 0;
  const int threads = useful_threads(w, call, gradients, thread_count(context));
  const bool chunked = gradients && weights_wanted;
  const BlockShape shape(w, chunked ? std::min(kChunkTokens, tokens) : tokens, threads);

  CallScratch scratch;
  const sl_status status = lay_out_workspace(context, [&](Arena& arena) {
    scratch = CallScratch::take(arena, w, shape, call, threads, chunked);
  });
  if (status != SL_OK) return status;

  AlignmentRun run{};
  run.projector = &w;
  run.call = &call;
  run.backward = gradients;
  run.dropout = call.training && w.options.dropout > 0;
  run.gradient_scale = (call.grad_scale ? *call.grad_scale : 1.0) / weight;
  run.token_loss = scratch.token_loss;
  run.chunk = chunked ? &scratch.gradients.chunk : nullptr;
  run.teacher = &scratch.teacher;
  scratch.teacher.prepare(threads);
  if (call.loss_options.kind == LossKind::kInfoNce) {
    scratch.contrast.prepare(*w.kernels, w.options.compute, scratch.teacher, threads);
    run.contrast = &scratch.contrast;
  }

  if (chunked) {
    for (int64_t first = 0; first < tokens; first += kChunkTokens) {
      const int64_t count = std::min(kChunkTokens, tokens - first);
      scratch.gradients.chunk.first = first;
      run_blocks(run, shape, scratch, first, count, threads);
      scratch.gradients.add_chunk(w, call, count, threads);
    }
    scratch.gradients.finish(w, call, threads);
  } else if (weight != 0 || call.cosine) {
    run_blocks(run, shape, scratch, 0, tokens, threads);
  }
  if (weight == 0) {
    zero_gradients(call);
    *call.loss = 0.f;
    return SL_OK;
  }
  double sum = 0;
  for (int64_t i = 0; i < tokens; ++i) sum += scratch.token_loss[i];
  *call.loss = one_nan(sum / weight);
  return SL_OK;
}

}  // namespace sightline::cpu
