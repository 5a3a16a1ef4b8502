// The products and preparations that LoRA's forward and backward passes are made of, as launches on
// one stream. T is the element type of x and of the products; rank-r tensors are brought to T; x,
// y, dy, dx and the weights are read and written where they lie (or copied first, where rows do not
// start on 16 bytes, columns are no multiple of 8 or a weight has another type).
#pragma once

#include <algorithm>
#include <array>

#include "cuda/gemm/gemm.cuh"
#include "cuda/lora/epilogues.cuh"
#include "cuda/lora/lora.h"
#include "cuda/lora/rank_kernels.cuh"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/status.h"
#include "cuda/runtime/workspace.h"
#include "cuda/tensor/rows.h"

namespace sightline::cuda {

constexpr int kRankMultiple = 16;  // ranks are padded to whole steps of the tensor cores

// Sizes of a call. Linear i owns columns [first[i], first[i + 1]) of the stacked rank, its own rank
// first, zeros after it.
struct LoraSizes {
  int m, k, k8, rank;
  std::array<int, kMaxLoraLinears + 1> first{};

  explicit LoraSizes(const LoraCall& call)
      : m(static_cast<int>(call.x.total_rows())),
        k(static_cast<int>(call.x.cols)),
        k8(round_up(k, 8)) {
    for (int64_t i = 0; i < call.count; ++i) {
      first[i + 1] = first[i] + round_up(static_cast<int>(call.linears[i].a.rows), kRankMultiple);
    }
    rank = first[call.count];
  }
  int padded_rank(int64_t i) const { return first[i + 1] - first[i]; }
};

// Linears [first, end) with one mask: the widest run that starts at `first`.
inline int64_t end_of_mask(const LoraCall& call, int64_t first) {
  int64_t end = first + 1;
  while (end < call.count && (call.dropout == 0.f ||
                              call.linears[end].dropout_seed == call.linears[first].dropout_seed)) {
    ++end;
  }
  return end;
}

inline Dropout lora_dropout(const LoraCall& call, const LoraViews& linear) {
  Dropout dropout;
  dropout.seed = linear.dropout_seed;
  dropout.stream = kDropoutLora;
  dropout.threshold = call.dropout > 0.f ? dropout_threshold(call.dropout) : 0;
  dropout.scale = static_cast<float>(1. / (1. - static_cast<double>(call.dropout)));
  return dropout;
}

// Into how many partials a long reduction is cut so that two blocks meet each multiprocessor: a
// function of the sizes and of the GPU, so the same on every run. fp32 is counted in the plain
// kernel's blocks of 16 k; a part has two or more, so that those of the tf32 kernel, of 32, go
// round.
template <class T>
constexpr int kTileColumnsOfRank = sizeof(T) == 2 ? 64 : 128;
template <class T>
int split_count(const Device& device, int m, int n, int k) {
  const int64_t tiles = checked_product(ceil_div(m, 128), ceil_div(n, kTileColumnsOfRank<T>));
  const int k_blocks = ceil_div(k, sizeof(T) == 2 ? kBlockK : 16);
  if (tiles == 0 || k_blocks == 0) return 0;
  return static_cast<int>(
      std::clamp<int64_t>(2 * device.sms / tiles, 1, std::min(16, std::max(1, k_blocks / 2))));
}

// Partials of a reduction: [splits][m][stride].
struct Partials {
  float* data;
  int splits;
  int64_t stride, split_stride;
};

template <class T>
class LoraProducts {
 public:
  LoraProducts(Stream& stream, GemmPath path, const LoraCall& call, const LoraSizes& sizes)
      : stream_(stream), path_(path), call_(call), s_(sizes) {}

  // Whether products may read the rows where they lie.
  static bool readable(const UserRows& rows) { return rows.dtype == kDType<T> && rows.vector; }

  // The operand of a caller's matrix; `copy` [rows, columns rounded up to 8] is used if it must be.
  Operand operand_of_rows(const UserRows& rows, int count, T* copy) {
    if (copy == nullptr) return operand_of(rows, 0);
    const int columns = round_up(rows.columns, 8);
    pack(rows, count, copy, columns, count, columns);
    return matrix(copy, columns);
  }

  void pack(const UserRows& in, int in_rows, T* out, int64_t stride, int rows, int columns) {
    const typename PackKernel<T>::Params p{in, in_rows, out, stride, rows, columns};
    stream_.launch<PackKernel<T>>(p, PackKernel<T>::blocks(p));
  }

  // A of all linears, one below the other with zero rows between: [rank, k8].
  void pack_stacked_a(T* out) {
    for (int64_t i = 0; i < call_.count; ++i) {
      const View2& a = call_.linears[i].a;
      pack(user_rows(a), static_cast<int>(a.rows), out + int64_t{s_.first[i]} * s_.k8, s_.k8,
           s_.padded_rank(i), s_.k8);
    }
  }

  // Few columns, long k, split. Where `dropout` has a threshold A is masked by it.
  template <Major kA, Major kB>
  Partials few_columns(int m, int n, int k, const Operand& a, const Operand& b,
                       const Dropout& dropout, float* partial) {
    GemmProblem problem;
    problem.m = m, problem.n = n, problem.k = k;
    problem.a = a, problem.b = b;
    problem.splits = split_count<T>(stream_.device(), m, n, k);
    const Partials partials{partial, problem.splits, n, int64_t{m} * n};
    if (problem.splits == 0) return partials;
    const PartialEpilogue::Params epilogue{partial, partials.stride, partials.split_stride,
                                           dropout};
    portable_gemm<T, kA, kB, PartialEpilogue, kTileColumnsOfRank<T>>(
        stream_, path_ == GemmPath::kTf32, problem, epilogue);
    return partials;
  }
  static int64_t partials_size(const Device& device, int m, int n, int k) {
    return checked_product(split_count<T>(device, m, n, k), m, n);
  }

  // Columns from `column` on, `rank` of them, to an operand, and to the caller's tensor where
  // given.
  void reduce_rows(const Partials& partials, int column, int rank, int padded_rank, float factor,
                   float operand_factor, const View2& user, T* operand) {
    typename ReduceRowsKernel<T>::Params p{};
    p.partial = partials.data + column;
    p.splits = partials.splits;
    p.stride = partials.stride, p.split_stride = partials.split_stride;
    p.rows = s_.m, p.rank = rank, p.padded_rank = padded_rank;
    p.factor = factor, p.operand_factor = operand_factor;
    if (user) p.user = user_rows(user);
    p.operand = operand, p.operand_stride = s_.rank;
    stream_.launch<ReduceRowsKernel<T>>(p, ReduceRowsKernel<T>::blocks(p));
  }

  void reduce_gradient(const Partials& partials, int column, bool transposed, float factor,
                       const View2& out) {
    ReduceGradientKernel::Params p{};
    p.partial = partials.data + column;
    p.splits = partials.splits;
    p.stride = partials.stride, p.split_stride = partials.split_stride;
    p.transposed = transposed;
    p.factor = factor;
    p.out = user_rows(out);
    p.rows = static_cast<int>(out.rows);
    p.accumulate = call_.accumulate_weights;
    stream_.launch<ReduceGradientKernel>(p, ReduceGradientKernel::blocks(p));
  }

  // S of the linears [first, end), which share a mask, each to its columns of `operand` [m, rank]
  // times its `operand_factor(linear)` and, unscaled, to its tensor where `user(linear)` gives one.
  template <class Factor, class User>
  void s_of_mask(int64_t first, int64_t end, const Operand& x, const T* stacked_a, float* partial,
                 T* operand, const Factor& operand_factor, const User& user) {
    const Dropout dropout = lora_dropout(call_, call_.linears[first]);
    const Operand a = matrix(stacked_a + int64_t{s_.first[first]} * s_.k8, s_.k8);
    const Partials partials = few_columns<Major::kK, Major::kK>(
        s_.m, s_.first[end] - s_.first[first], s_.k, x, a, dropout, partial);
    for (int64_t i = first; i < end; ++i) {
      const LoraViews& linear = call_.linears[i];
      reduce_rows(partials, s_.first[i] - s_.first[first], static_cast<int>(linear.a.rows),
                  s_.padded_rank(i), dropout.scale, operand_factor(linear), user(linear),
                  operand + s_.first[i]);
    }
  }

  // Adds one segment to the problem, as its first if it has none.
  static void add_segment(GemmProblem& problem, int& segments, const Operand& a, const Operand& b,
                          int k) {
    if (segments++ == 0) {
      problem.a = a, problem.b = b, problem.k = k;
    } else {
      problem.extra[problem.extra_count++] = {a, b, k};
    }
  }

  template <Major kB>
  void product(const GemmProblem& problem, const LoraEpilogue::Params& epilogue) {
    const GemmPlan plan = plan_gemm<T>(stream_.device(), path_, problem);
    gemm<T, Major::kK, kB, LoraEpilogue>(stream_, plan, problem, epilogue);
  }

  // The first segment masked: portable kernels alone.
  void masked_product(const GemmProblem& problem, const LoraEpilogue::Params& epilogue) {
    portable_gemm<T, Major::kK, Major::kMN, MaskedLoraEpilogue>(stream_, path_ == GemmPath::kTf32,
                                                                problem, epilogue);
  }

 private:
  Stream& stream_;
  GemmPath path_;
  const LoraCall& call_;
  const LoraSizes& s_;
};

// The context's workspace, or the stream's cached one, for what `lay_out(Arena&)` takes.
template <class LayOut>
sl_status lora_workspace(const Device& device, const sl_context& context, const LayOut& lay_out,
                         void** out) {
  Arena measure(nullptr);
  lay_out(measure);
  return acquire_workspace(device.id, context, measure.bytes(), out);
}

}  // namespace sightline::cuda
