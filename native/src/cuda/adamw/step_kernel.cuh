// AdamW (arXiv 1711.05101) over all tensors in one persistent launch.
//
//   p, m, v fp32, g fp32 or bf16; p of a bf16 parameter from its master, from it and its remainder,
//   or its widening. Chunks of kAdamwChunk elements; a block takes a contiguous run of them, so it
//   meets few tensors.
//
//   measure   sums of g g in fp64 and counts of non-finite elements, per thread, per block
//   barrier   the last block to arrive adds the blocks' sums in their order and decides: the
//             clipping factor, whether to skip
//   update    or zero the gradients alone; the last block to finish counts the steps and reports
//
// Measuring and the barrier only where clipping or skipping asks for them; a mere report measures
// while it updates. All order is fixed by the grid, so the bits repeat. 32 bytes move per fp32
// element (36 with measuring), 128 bits at a time.
#pragma once

#include "common/adamw_math.h"
#include "cuda/adamw/elements.cuh"
#include "cuda/ptx/grid_sync.cuh"

namespace sightline::cuda {

struct AdamwStepKernel {
  static constexpr int kThreads = 256, kMinBlocks = 2;
  static constexpr int kUnroll = 2;  // groups of four elements in flight per thread

  struct Params {
    const AdamwEntry* entries;
    const GradEntry* grads;
    const AdamwChunk* chunks;
    const sl_adamw_group* groups;
    const float* lr;  // of each group in place of its own, or null
    int64_t* steps;
    AdamwPart* parts;  // [blocks]
    AdamwDecision* decision;
    AdamwBarrier* barrier;
    int tensors, chunk_count;
    double grad_scale, max_grad_norm;
    bool skip_nonfinite, zero_grads;
    float* report;  // [4] or null
  };

  struct Shared {
    double sums[kThreads];
    int64_t counts[kThreads];
    AdamwDecision decision;
    AdamwScalars scalars;
    int32_t last;
  };
  static constexpr int kSharedBytes = sizeof(Shared);

  struct Measure {
    double sum_of_squares = 0.;
    int64_t nonfinite = 0;

    SL_DEVICE void add(const float (&g)[4]) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const double wide = g[i];
        sum_of_squares += wide * wide;
        uint32_t bits;
        memcpy(&bits, &g[i], 4);
        nonfinite += (bits & 0x7f800000u) == 0x7f800000u;
      }
    }
  };

  static SL_DEVICE void run(const Params& p) {
    ptx::grid_dependency_wait();
    Shared& shared = *reinterpret_cast<Shared*>(ptx::shared_memory());
    const int blocks = ptx::block_count(), block = ptx::block_id();
    const int first = static_cast<int>(int64_t{p.chunk_count} * block / blocks);
    const int last = static_cast<int>(int64_t{p.chunk_count} * (block + 1) / blocks);
    const bool measure_first = p.max_grad_norm > 0. || p.skip_nonfinite;
    const bool measure_now = !measure_first && p.report != nullptr;

    Measure measure;
    AdamwDecision decision{0., 0, 1., 0};
    if (measure_first) {
      for (int c = first; c < last; ++c) measure_chunk(p, p.chunks[c], measure);
      decision = decide(p, shared, measure);
    }
    int tensor = -1;
    for (int c = first; c < last; ++c) {
      const AdamwChunk chunk = p.chunks[c];
      if (p.grads[chunk.tensor].data == nullptr) continue;
      if (chunk.tensor != tensor && decision.skip == 0) {
        tensor = chunk.tensor;
        ptx::sync_threads();  // the scalars of the tensor before are no longer read
        if (ptx::thread_id() == 0) {
          const int group = p.entries[tensor].group;
          sl_adamw_group rates = p.groups[group];
          if (p.lr != nullptr) rates.lr = static_cast<double>(p.lr[group]);
          shared.scalars = adamw_scalars(rates, p.steps[tensor] + 1, p.grad_scale * decision.clip);
        }
        ptx::sync_threads();
      }
      update_chunk(p, shared.scalars, chunk, decision.skip != 0, measure_now, measure);
    }
    if (measure_now) leave_part(p, shared, measure);
    finish(p, shared, decision, measure_now);
  }

  static SL_DEVICE int chunk_size(const AdamwEntry& entry, const AdamwChunk& chunk) {
    const int64_t left = entry.size - int64_t{chunk.index} * kAdamwChunk;
    return left < kAdamwChunk ? static_cast<int>(left) : kAdamwChunk;
  }
  static SL_DEVICE int count_at(int i, int size) {
    return size - i < 4 ? (size - i > 0 ? size - i : 0) : 4;
  }

  static SL_DEVICE void measure_chunk(const Params& p, const AdamwChunk& chunk, Measure& measure) {
    const GradEntry grad = p.grads[chunk.tensor];
    if (grad.data == nullptr) return;
    const int size = chunk_size(p.entries[chunk.tensor], chunk);
    const int64_t begin = int64_t{chunk.index} * kAdamwChunk;
#pragma unroll
    for (int j = 0; j < kAdamwChunk / (4 * kThreads); ++j) {
      const int i = 4 * (ptx::thread_id() + j * kThreads);
      if (i >= size) break;
      float g[4];
      load4(grad.data, grad.dtype, begin + i, count_at(i, size), grad.vector, g);
      measure.add(g);
    }
  }

  static SL_DEVICE void update_chunk(const Params& p, const AdamwScalars& scalars,
                                     const AdamwChunk& chunk, bool skip, bool measure_now,
                                     Measure& measure) {
    const AdamwEntry& entry = p.entries[chunk.tensor];
    const GradEntry grad = p.grads[chunk.tensor];
    const int size = chunk_size(entry, chunk);
    const int64_t begin = int64_t{chunk.index} * kAdamwChunk;
    const AdamwScalars s = scalars;
    const bool wide = entry.param_dtype == DType::kFloat32;
    float* master = wide ? static_cast<float*>(entry.param) : entry.master;
    const float zero[4] = {};
    for (int i = 4 * ptx::thread_id(); i < size; i += 4 * kThreads * kUnroll) {
      float param[kUnroll][4], g[kUnroll][4], m[kUnroll][4], v[kUnroll][4];
      if (!skip) {
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          const int at = i + 4 * kThreads * u, count = count_at(at, size);
          load4(grad.data, grad.dtype, begin + at, count, grad.vector, g[u]);
          load4_as<float>(entry.exp_avg, begin + at, count, entry.vector, m[u]);
          load4_as<float>(entry.exp_avg_sq, begin + at, count, entry.vector, v[u]);
          if (master != nullptr) {
            load4_as<float>(master, begin + at, count, entry.vector, param[u]);
          } else if (entry.remainder != nullptr) {
            load4_joined(entry, begin + at, count, param[u]);
          } else {
            load4_as<Bf16>(entry.param, begin + at, count, entry.vector, param[u]);
          }
        }
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const int at = i + 4 * kThreads * u, count = count_at(at, size);
        if (!skip) {
          if (measure_now) measure.add(g[u]);
#pragma unroll
          for (int j = 0; j < 4; ++j) adamw_update(s, g[u][j], param[u][j], m[u][j], v[u][j]);
          store4_as<float>(entry.exp_avg, begin + at, count, entry.vector, m[u]);
          store4_as<float>(entry.exp_avg_sq, begin + at, count, entry.vector, v[u]);
          if (master != nullptr) {
            store4_as<float>(master, begin + at, count, entry.vector, param[u]);
          }
          if (entry.remainder != nullptr) {
            store4_split(entry, begin + at, count, param[u]);
          } else if (!wide) {
            store4_as<Bf16>(entry.param, begin + at, count, entry.vector, param[u]);
          }
        }
        if (p.zero_grads) store4(grad.data, grad.dtype, begin + at, count, grad.vector, zero);
      }
    }
  }

  // The block's sums over its threads, halves onto halves, to its part in global memory.
  static SL_DEVICE void leave_part(const Params& p, Shared& shared, const Measure& measure) {
    const AdamwPart sum = add_up(shared, {measure.sum_of_squares, measure.nonfinite});
    if (ptx::thread_id() == 0) p.parts[ptx::block_id()] = sum;
  }

  static SL_DEVICE AdamwPart add_up(Shared& shared, const AdamwPart& own) {
    const int thread = ptx::thread_id();
    ptx::sync_threads();
    shared.sums[thread] = own.sum_of_squares;
    shared.counts[thread] = own.nonfinite;
    for (int half = kThreads / 2; half > 0; half /= 2) {
      ptx::sync_threads();
      if (thread < half) {
        shared.sums[thread] += shared.sums[thread + half];
        shared.counts[thread] += shared.counts[thread + half];
      }
    }
    ptx::sync_threads();
    return {shared.sums[0], shared.counts[0]};
  }

  // All parts: thread i takes those of blocks i, i + kThreads, ...
  static SL_DEVICE AdamwPart add_parts(const Params& p, Shared& shared) {
    AdamwPart own{0., 0};
    for (int b = ptx::thread_id(); b < ptx::block_count(); b += kThreads) {
      own.sum_of_squares += p.parts[b].sum_of_squares;
      own.nonfinite += p.parts[b].nonfinite;
    }
    return add_up(shared, own);
  }

  static SL_DEVICE AdamwDecision decide(const Params& p, Shared& shared, const Measure& measure) {
    leave_part(p, shared, measure);
    uint32_t phase = 0;
    if (ptx::thread_id() == 0) {
      phase = ptx::read_acquire(&p.barrier->phase);
      shared.last =
          ptx::arrive(&p.barrier->arrived) + 1 == static_cast<uint32_t>(ptx::block_count());
    }
    ptx::sync_threads();
    if (shared.last != 0) {
      const AdamwPart total = add_parts(p, shared);
      if (ptx::thread_id() == 0) {
        AdamwDecision d{total.sum_of_squares, total.nonfinite, 1., 0};
        d.skip = p.skip_nonfinite && total.nonfinite > 0;
        if (p.max_grad_norm > 0. && d.skip == 0) {
          d.clip = clip_factor(p.max_grad_norm, fabs(p.grad_scale) * sqrt(total.sum_of_squares));
        }
        *p.decision = d;
        p.barrier->arrived = 0;
        ptx::write_release(&p.barrier->phase, phase + 1);
      }
    } else if (ptx::thread_id() == 0) {
      ptx::wait_while(&p.barrier->phase, phase);
    }
    if (ptx::thread_id() == 0) shared.decision = *p.decision;
    ptx::sync_threads();
    return shared.decision;
  }

  static SL_DEVICE void finish(const Params& p, Shared& shared, AdamwDecision decision,
                               bool measured_now) {
    ptx::sync_threads();
    if (ptx::thread_id() == 0) {
      shared.last =
          ptx::arrive(&p.barrier->finished) + 1 == static_cast<uint32_t>(ptx::block_count());
    }
    ptx::sync_threads();
    if (shared.last == 0) return;
    if (measured_now) {
      const AdamwPart total = add_parts(p, shared);
      decision.sum_of_squares = total.sum_of_squares;
      decision.nonfinite = total.nonfinite;
    }
    if (decision.skip == 0) {
      for (int i = ptx::thread_id(); i < p.tensors; i += kThreads) {
        if (p.grads[i].data != nullptr) ++p.steps[i];
      }
    }
    if (ptx::thread_id() == 0) {
      p.barrier->finished = 0;
      if (p.report != nullptr) {
        p.report[0] = static_cast<float>(fabs(p.grad_scale) * sqrt(decision.sum_of_squares));
        p.report[1] = static_cast<float>(decision.clip);
        p.report[2] = static_cast<float>(decision.nonfinite);
        p.report[3] = decision.skip != 0 ? 1.f : 0.f;
      }
    }
  }
};

}  // namespace sightline::cuda
