// The alignment loss and its gradients as a chain of launches on one stream:
//
//   statistics   mean, rstd of every row (and 1 / sum m)
//   product 1    u  = rstd (h W1'^T - mean w) + b1'     a1 = silu(u)
//   product 2    v  = a1 W2^T + b2                      a2 = silu(v)
//   product 3    z  = a2 W3^T + b3, cosine, dz          one kernel on Hopper for 512 < Z <= 1024
//   product 4    dv = (dz W3) silu'(v)                  over v
//   product 5    du = (dv W2) silu'(u), k1, k2          over u
//   product 6    dh = scale rstd (du W1' - k1 - xhat k2)   into the caller's tensor
//   loss         -sum m c / sum m
//
// Internal matrices are T, sums and statistics fp32. Gradients travel without 1 / sum m and the
// upstream factor, which the last epilogue multiplies in.
// Product 1 reads the caller's rows where it can; rows whose mean is large against their deviation,
// and all rows where element types differ, alignment forbids, fp32 is asked for or the projector is
// trainable, are normalised first.
#pragma once

#include "cuda/alignment/cosine_rows.cuh"
#include "cuda/alignment/row_statistics.cuh"
#include "cuda/alignment/scratch.cuh"
#include "cuda/alignment/weight_gradients.cuh"
#include "cuda/gemm/gemm.cuh"

namespace sightline::cuda {

// Product 3 with the cosine inside, by clusters of four blocks that hold whole rows of up to 1024
// columns. Defined in hopper_cosine.cuh, instantiated for sm_90a alone.
template <class T>
void hopper_cosine_gemm(Stream& stream, const GemmPlan& plan, const GemmProblem& problem,
                        const typename CosineEpilogue<T>::Params& epilogue);

template <class T>
class AlignmentChain {
 public:
  AlignmentChain(Stream& stream, GemmPath path, const ProjectorSizes& sizes,
                 const ProjectorWeights<T>& weights, const ProjectorOptions& options,
                 const AlignmentCall& call, const AlignmentScratch<T>& scratch)
      : stream_(stream),
        path_(path),
        s_(sizes),
        w_(weights),
        options_(options),
        call_(call),
        x_(scratch),
        hidden_(user_rows(call.hidden)),
        teacher_(user_rows(call.teacher)),
        tokens_(call.hidden.total_rows()),
        dropout_(options.trainable && call.training ? dropout_threshold(options.dropout) : 0) {}

  static int64_t chunk_rows(const ProjectorOptions& options, int64_t tokens) {
    return options.trainable || tokens < kChunkRows ? tokens : kChunkRows;
  }

  void run() {
    const int64_t step = chunk_rows(options_, tokens_);
    first_ = 0;
    do {  // once for an empty batch, too: the loss and its weights are 0 then
      rows_ = static_cast<int>(tokens_ - first_ < step ? tokens_ - first_ : step);
      statistics();
      forward();
      if (backward_wanted()) backward();
      if (weight_gradients_wanted()) weight_gradients();
      first_ += step;
    } while (first_ < tokens_);
    const LossKernel::Params loss{x_.weighted, tokens_, x_.scalars, call_.loss};
    stream_.launch<LossKernel>(loss, LossKernel::blocks(loss));
  }

 private:
  bool weight_gradients_wanted() const {
    return call_.grad_weights.layers[0].weight.data != nullptr;
  }
  bool backward_wanted() const {
    return call_.grad_hidden.data != nullptr || weight_gradients_wanted();
  }
  bool raw_hidden() const {
    return sizeof(T) == 2 && !options_.trainable && hidden_.dtype == kDType<T> && hidden_.vector;
  }

  CosineOutputs outputs(int64_t first) const {
    CosineOutputs o{};
    o.token_weight = static_cast<const float*>(call_.token_weight.data);
    o.weight_rows = static_cast<uint32_t>(call_.hidden.rows > 0 ? call_.hidden.rows : 1);
    o.weight_stride = call_.token_weight.row_stride;
    o.cosine = static_cast<float*>(call_.cosine.data);
    o.cosine_stride = call_.cosine.row_stride;
    o.weighted = x_.weighted;
    o.first_row = first;
    return o;
  }

  DropoutRows dropout(DropoutStream stream) const {
    DropoutRows d;
    d.seed = call_.dropout_seed;
    d.stream = stream;
    d.threshold = dropout_;
    d.scale = static_cast<float>(1. / (1. - static_cast<double>(options_.dropout)));
    d.first_row = first_;
    return d;
  }

  GemmProblem problem(const Operand& a, const T* b, int n, int k) const {
    GemmProblem g;
    g.m = rows_, g.n = n, g.k = k;
    g.a = a, g.b = matrix(b, k);
    return g;
  }
  GemmProblem problem(const T* a, const T* b, int n, int k) const {
    return problem(matrix(a, k), b, n, k);
  }

  template <class Epilogue>
  GemmPlan product(const GemmProblem& problem, const typename Epilogue::Params& epilogue) {
    const GemmPlan plan = plan_gemm<T>(stream_.device(), path_, problem);
    gemm<T, Major::kK, Major::kK, Epilogue>(stream_, plan, problem, epilogue);
    return plan;
  }

  void statistics() {
    typename RowStatisticsKernel<T>::Params p{};
    p.hidden = hidden_;
    p.first_row = first_;
    p.rows = rows_, p.columns = s_.d, p.padded_columns = s_.d8;
    p.epsilon = options_.norm_eps;
    p.statistics = x_.statistics;
    p.normalised = raw_hidden() ? nullptr : x_.xhat;
    p.normalised_stride = s_.d8;
    p.scalars = first_ == 0 ? x_.scalars : nullptr;
    p.weights = outputs(0);
    p.tokens = tokens_;
    p.grad_scale = call_.grad_scale;
    stream_.launch<RowStatisticsKernel<T>>(p, RowStatisticsKernel<T>::blocks(p));
    if (!raw_hidden()) return;
    typename NormaliseBlocksKernel<T>::Params n{};
    n.hidden = hidden_;
    n.first_row = first_;
    n.rows = rows_, n.columns = s_.d, n.padded_columns = s_.d8;
    n.statistics = x_.statistics;
    n.normalised = x_.xhat;
    n.normalised_stride = s_.d8;
    n.alternate_blocks = x_.alternate_blocks;
    stream_.launch<NormaliseBlocksKernel<T>>(n, NormaliseBlocksKernel<T>::blocks(n));
  }

  void forward() {
    typename HiddenEpilogue<T>::Params hidden1{};
    hidden1.pre = {x_.u, s_.p8}, hidden1.activation = {x_.a1, s_.p8};
    hidden1.bias = w_.b1, hidden1.weight_sum = w_.weight_sum;
    hidden1.dropout = dropout(kDropoutProjector1);
    GemmProblem product1 = problem(x_.xhat, w_.w1, s_.p8, s_.d8);
    if (raw_hidden()) {
      product1.a_alternate = product1.a;
      product1.a = operand_of(hidden_, first_);
      product1.alternate_blocks = hidden1.alternate_blocks = x_.alternate_blocks;
      hidden1.statistics = x_.statistics;
    }
    product<HiddenEpilogue<T>>(product1, hidden1);

    typename HiddenEpilogue<T>::Params hidden2 = hidden1;
    hidden2.pre = {x_.v, s_.p8};
    hidden2.activation = {x_.a2, s_.p8};
    hidden2.bias = w_.b2;
    hidden2.statistics = nullptr, hidden2.alternate_blocks = nullptr;
    hidden2.dropout = dropout(kDropoutProjector2);
    product<HiddenEpilogue<T>>(problem(x_.a1, w_.w2, s_.p8, s_.p8), hidden2);

    const GemmProblem product3 = problem(x_.a2, w_.w3, s_.z8, s_.p8);
    if constexpr (sizeof(T) == 2) {
      const GemmPlan plan = plan_gemm<T>(stream_.device(), path_, product3);
      if (plan.hopper && s_.z8 > 512 && s_.z8 <= 1024) {
        typename CosineEpilogue<T>::Params cosine{};
        cosine.dz = {backward_wanted() ? x_.z : nullptr, s_.z8};
        cosine.bias = w_.b3;
        cosine.teacher = teacher_;
        cosine.outputs = outputs(first_);
        hopper_cosine_gemm<T>(stream_, plan, product3, cosine);
        return;
      }
    }
    product<BiasEpilogue<T>>(product3, {{x_.z, s_.z8}, w_.b3});
    typename CosineRowsKernel<T>::Params rows{};
    rows.z = x_.z, rows.stride = s_.z8;
    rows.rows = rows_, rows.padded_columns = s_.z8;
    rows.gradient = backward_wanted();
    rows.teacher = teacher_;
    rows.outputs = outputs(first_);
    stream_.launch<CosineRowsKernel<T>>(rows, CosineRowsKernel<T>::blocks(rows));
  }

  void backward() {
    typename SiluBackwardEpilogue<T>::Params silu2{};
    silu2.pre = {x_.v, s_.p8};
    silu2.dropout = dropout(kDropoutProjector2);
    product<SiluBackwardEpilogue<T>>(problem(x_.z, w_.w3_t, s_.p8, s_.z8), silu2);

    typename SiluBackwardSumsEpilogue<T>::Params silu1{};
    silu1.pre = {x_.u, s_.p8};
    silu1.dropout = dropout(kDropoutProjector1);
    silu1.bias = w_.b1, silu1.weight_sum = w_.weight_sum;
    silu1.partial = x_.partial;
    silu1.rows = rows_;
    const GemmPlan plan =
        product<SiluBackwardSumsEpilogue<T>>(problem(x_.v, w_.w2_t, s_.p8, s_.p8), silu1);
    if (call_.grad_hidden.data == nullptr) return;

    LayerNormBackwardEpilogue::Params norm{};
    norm.hidden = hidden_;
    norm.grad = user_rows(call_.grad_hidden);
    norm.accumulate = call_.accumulate_hidden;
    norm.statistics = x_.statistics;
    norm.partial = x_.partial;
    norm.partial_tiles = plan.tiles_n;
    norm.rows = rows_;
    norm.inverse_d = 1.f / static_cast<float>(s_.d);
    norm.scale = &x_.scalars->scale;
    norm.first_row = first_;
    product<LayerNormBackwardEpilogue>(problem(x_.u, w_.w1_t, s_.d8, s_.p8), norm);
  }

  // out[m,n] = scale a^T b, reduced over the tokens.
  void weight_product(const T* a, int m, int stride_a, const T* b, int n, int stride_b,
                      const StoreEpilogue::Params& out) {
    GemmProblem g;
    g.m = m, g.n = n, g.k = rows_;
    g.a = matrix(a, stride_a), g.b = matrix(b, stride_b);
    const GemmPlan plan = plan_gemm<T>(stream_.device(), path_, g);
    gemm<T, Major::kMN, Major::kMN, StoreEpilogue>(stream_, plan, g, out);
  }

  void column_sums(const T* in, int columns, const View2& out, float* plain) {
    const typename ColumnSumsKernel<T>::Params sums{in, columns, rows_, columns, x_.segments};
    stream_.launch<ColumnSumsKernel<T>>(sums, ColumnSumsKernel<T>::blocks(sums));
    reduce(x_.segments, ceil_div(rows_, kSegmentRows), columns, out, &x_.scalars->scale, plain);
  }

  void reduce(const float* segments, int count, int columns, const View2& out, const float* scale,
              float* plain) {
    const ReduceSegmentsKernel::Params p{
        segments, count, columns, scale, user_rows(out), call_.accumulate_weights, plain};
    stream_.launch<ReduceSegmentsKernel>(p, ReduceSegmentsKernel::blocks(p));
  }

  void weight_gradients() {
    const ProjectorViews& out = call_.grad_weights;
    const float* scale = &x_.scalars->scale;
    const bool add = call_.accumulate_weights;
    weight_product(x_.z, s_.z, s_.z8, x_.a2, s_.p8, s_.p8,
                   {user_rows(out.layers[2].weight), add, scale});
    weight_product(x_.v, s_.p, s_.p8, x_.a1, s_.p8, s_.p8,
                   {user_rows(out.layers[1].weight), add, scale});
    View2 g;
    g.data = x_.g, g.rows = s_.p, g.cols = s_.d8, g.row_stride = s_.d8;
    weight_product(x_.u, s_.p, s_.p8, x_.xhat, s_.d8, s_.d8, {user_rows(g), false, scale});
    column_sums(x_.z, s_.z8, out.layers[2].bias, nullptr);
    column_sums(x_.v, s_.p8, out.layers[1].bias, nullptr);
    column_sums(x_.u, s_.p8, out.layers[0].bias, x_.db1);

    LayerNormWeightGradientKernel::Params norm{};
    norm.g = x_.g, norm.w1 = w_.w1_plain, norm.db1 = x_.db1;
    norm.gamma = w_.gamma, norm.beta = w_.beta;
    norm.rows = s_.p, norm.padded_columns = s_.d8;
    norm.dw1 = user_rows(out.layers[0].weight), norm.accumulate = add;
    norm.partial_gamma = x_.segments, norm.partial_beta = x_.segments2;
    stream_.launch<LayerNormWeightGradientKernel>(norm,
                                                  LayerNormWeightGradientKernel::blocks(norm));
    const int segments = ceil_div(s_.p, kSegmentRows);
    reduce(x_.segments, segments, s_.d8, out.norm_weight, nullptr, nullptr);
    reduce(x_.segments2, segments, s_.d8, out.norm_bias, nullptr, nullptr);
  }

  Stream& stream_;
  GemmPath path_;
  const ProjectorSizes& s_;
  const ProjectorWeights<T>& w_;
  const ProjectorOptions& options_;
  const AlignmentCall& call_;
  const AlignmentScratch<T>& x_;
  UserRows hidden_, teacher_;
  int64_t tokens_, first_ = 0;
  int rows_ = 0;
  uint32_t dropout_;
};

}  // namespace sightline::cuda
