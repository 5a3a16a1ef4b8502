// AdamW (arXiv 1711.05101) in PyTorch's order of operations, over all tensors in one parallel loop.
//
//   p, m, v, g: one element each; p in fp32 (the master of a bf16 parameter, what it is together
//   with its remainder, or its widening), g widened and multiplied by grad_scale times the clipping
//   factor; all elementwise sums in fp32, scalars prepared in double and rounded once. Clipping as
//   torch.nn.utils.clip_grad_norm_: factor = min(1, max_norm / (norm + 1e-6)).
//
// Tensors are cut into chunks of kChunk elements when the handle is made, whatever the number of
// threads. The norm is summed in fp64, chunk by chunk in their order: the same bits at any count.
#include "cpu/backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "common/nan.h"
#include "cpu/elementwise/elementwise.h"
#include "cpu/isa.h"
#include "cpu/workspace.h"

namespace sightline::cpu {
namespace {

constexpr int64_t kChunk = 16384;  // its parameter, gradient and moments fit a second-level cache
constexpr int64_t kChunksPerThread = 4;  // fewer are done sooner than another thread has woken up

struct Chunk {
  int64_t tensor;
  int64_t begin, size;
};

struct Adamw {
  std::vector<AdamwTensor> tensors;
  std::vector<int64_t> steps;
  std::vector<Chunk> chunks;
  // Scratch of a step, made once.
  std::vector<AdamwScalars> scalars;       // per tensor
  std::vector<GradStatistics> statistics;  // per chunk
};

template <typename T>
T* at(void* data, DType dtype, int64_t element) {
  return reinterpret_cast<T*>(static_cast<char*>(data) + element * element_size(dtype));
}

GradStatistics total_of(const Adamw& adamw) {
  GradStatistics total{0., 0};
  for (const GradStatistics& chunk : adamw.statistics) {
    total.sum_of_squares += chunk.sum_of_squares;
    total.nonfinite += chunk.nonfinite;
  }
  return total;
}

// Chunks without a gradient in this step count 0.
void measure_chunk(Adamw& adamw, const ElementwiseKernels& kernels, const AdamwStep& step,
                   int64_t c) {
  const Chunk& chunk = adamw.chunks[c];
  const Span& grad = step.grads[chunk.tensor];
  adamw.statistics[c] =
      grad ? kernels.grad_statistics(at<const void>(grad.data, grad.dtype, chunk.begin), grad.dtype,
                                     chunk.size)
           : GradStatistics{0., 0};
}

void update_chunk(Adamw& adamw, const ElementwiseKernels& kernels, const AdamwStep& step,
                  int64_t c) {
  const Chunk& chunk = adamw.chunks[c];
  const Span& grad = step.grads[chunk.tensor];
  if (!grad) return;
  const AdamwTensor& tensor = adamw.tensors[chunk.tensor];
  AdamwChunk work;
  work.param = at<void>(tensor.param.data, tensor.param.dtype, chunk.begin);
  work.param_dtype = tensor.param.dtype;
  work.master = tensor.master ? static_cast<float*>(tensor.master.data) + chunk.begin : nullptr;
  work.remainder =
      tensor.remainder ? static_cast<int16_t*>(tensor.remainder.data) + chunk.begin : nullptr;
  work.exp_avg = static_cast<float*>(tensor.exp_avg.data) + chunk.begin;
  work.exp_avg_sq = static_cast<float*>(tensor.exp_avg_sq.data) + chunk.begin;
  work.grad = at<void>(grad.data, grad.dtype, chunk.begin);
  work.grad_dtype = grad.dtype;
  work.size = chunk.size;
  work.zero_grad = step.zero_grads;
  kernels.adamw(work, adamw.scalars[chunk.tensor]);
}

void zero_chunk(const Adamw& adamw, const AdamwStep& step, int64_t c) {
  const Chunk& chunk = adamw.chunks[c];
  const Span& grad = step.grads[chunk.tensor];
  if (!grad) return;
  std::memset(at<void>(grad.data, grad.dtype, chunk.begin), 0,
              static_cast<size_t>(chunk.size * element_size(grad.dtype)));
}

template <typename Body>
void for_each_chunk(const Adamw& adamw, int threads, Body&& body) {
  const auto count = static_cast<int64_t>(adamw.chunks.size());
  threads = static_cast<int>(
      std::clamp<int64_t>(count / kChunksPerThread, 1, static_cast<int64_t>(threads)));
  if (threads == 1) {  // libgomp allocates a team for a region of one thread, too
    for (int64_t c = 0; c < count; ++c) body(c);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t c = 0; c < count; ++c) body(c);
}

}  // namespace

sl_status adamw_create(const AdamwTensor* tensors, int64_t count, void** out) {
  auto adamw = std::make_unique<Adamw>();
  adamw->tensors.assign(tensors, tensors + count);
  adamw->steps.assign(static_cast<size_t>(count), 0);
  adamw->scalars.resize(static_cast<size_t>(count));
  int64_t chunks = 0;  // too many for memory fail at once, not when it is full
  for (int64_t i = 0; i < count; ++i) {
    chunks = checked_sum(chunks, tensors[i].param.size / kChunk + 1);
  }
  adamw->chunks.reserve(static_cast<size_t>(chunks));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t begin = 0; begin < tensors[i].param.size; begin += kChunk) {
      adamw->chunks.push_back({i, begin, std::min(kChunk, tensors[i].param.size - begin)});
    }
  }
  adamw->statistics.resize(adamw->chunks.size());
  *out = adamw.release();
  return SL_OK;
}

sl_status adamw_step(void* handle, const sl_context& context, const AdamwStep& step) {
  const Kernels* table = nullptr;
  SL_TRY(require_kernels(&table));
  const ElementwiseKernels& elementwise = elementwise_kernels(table->isa);
  Adamw& adamw = *static_cast<Adamw*>(handle);
  const int threads = thread_count(context);

  // Clipping and skipping need all gradients before the first update. A mere report does not:
  // then each chunk is measured while its update brings it into the cache.
  const bool measure_first = step.max_grad_norm > 0. || step.skip_nonfinite;
  double clip = 1.;
  bool skip = false;
  if (measure_first) {
    for_each_chunk(adamw, threads, [&](int64_t c) { measure_chunk(adamw, elementwise, step, c); });
    const GradStatistics total = total_of(adamw);
    skip = step.skip_nonfinite && total.nonfinite > 0;
    if (step.max_grad_norm > 0. && !skip) {
      const double norm = std::abs(step.grad_scale) * std::sqrt(total.sum_of_squares);
      clip = clip_factor(step.max_grad_norm, norm);
    }
  }

  if (skip) {
    if (step.zero_grads) {
      for_each_chunk(adamw, threads, [&](int64_t c) { zero_chunk(adamw, step, c); });
    }
  } else {
    for (size_t i = 0; i < adamw.tensors.size(); ++i) {
      if (!step.grads[i]) continue;
      const int32_t index = adamw.tensors[i].group;
      sl_adamw_group group = step.groups[index];
      if (step.lr != nullptr) group.lr = static_cast<double>(step.lr[index]);
      adamw.scalars[i] = adamw_scalars(group, ++adamw.steps[i], step.grad_scale * clip);
    }
    const bool measure_now = !measure_first && step.report != nullptr;
    for_each_chunk(adamw, threads, [&](int64_t c) {
      if (measure_now) measure_chunk(adamw, elementwise, step, c);
      update_chunk(adamw, elementwise, step, c);
    });
  }

  if (step.report != nullptr) {
    const GradStatistics total = total_of(adamw);
    step.report[0] = one_nan(std::abs(step.grad_scale) * std::sqrt(total.sum_of_squares));
    step.report[1] = one_nan(clip);
    step.report[2] = static_cast<float>(total.nonfinite);
    step.report[3] = skip ? 1.f : 0.f;
  }
  return SL_OK;
}

sl_status adamw_get_steps(const void* handle, int64_t* steps) {
  const Adamw& adamw = *static_cast<const Adamw*>(handle);
  std::copy(adamw.steps.begin(), adamw.steps.end(), steps);
  return SL_OK;
}

sl_status adamw_set_steps(void* handle, const int64_t* steps) {
  Adamw& adamw = *static_cast<Adamw*>(handle);
  std::copy_n(steps, adamw.steps.size(), adamw.steps.begin());
  return SL_OK;
}

void adamw_destroy(void* handle) { delete static_cast<Adamw*>(handle); }

}  // namespace sightline::cpu
