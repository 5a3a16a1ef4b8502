// Gradients of a LoRA linear, S_i = drop(x) A_i^T given or computed again, dy_i [M,N_i]:
//
//   dS_i = scale_i dy_i B_i
//   dB_i = scale_i dy_i^T S_i                  both from one read of dy_i: dy_products.cuh
//   dA_i = dS_i^T drop(x)                      one product over x for all that share a mask, k over
//                                              M, split: one read of x for every 64 ranks of them
//                                              together (fp32: 128)
//   dx   = sum_i drop'(dS_i A_i) + dy_i W_i    one product: its k runs over the padded ranks of
//                                              every dS_i, then (the accumulators masked) over the
//                                              columns of up to three dy_i
//
// More linears, or more masks, than one product takes are summed through fp32 scratch; every output
// is rounded once. On Hopper a mask keeps dS A out of the products with W, whose accumulators
// cannot be touched between segments: it goes first, through the same scratch. Partial sums of
// split reductions are added in order, without atomics.
#pragma once

#include "cuda/lora/dy_products.cuh"
#include "cuda/lora/products.cuh"

namespace sightline::cuda {

// What the sizes of a linear decide of its products over dy; of `rank` the part that one launch
// takes.
template <class T>
typename DyProducts<T>::Params dy_sizes(const Device& device, int m, int n, int rank) {
  typename DyProducts<T>::Params p{};
  p.m = m, p.n = n, p.rank = std::min(rank, DyProducts<T>::kRank);
  DyProducts<T>::cut(p, device);
  return p;
}

template <class T>
struct LoraBackwardScratch {
  T* x = nullptr;                            // [M, K8] where x cannot be read in place
  T* a;                                      // [rank, K8]
  T* s;                                      // [M, rank]
  T* ds;                                     // [M, rank], scaled
  T* b;                                      // [N, padded rank] of one linear at a time
  std::array<T*, kMaxLoraLinears> dy{};      // [M, N8] where dy cannot be read in place
  std::array<T*, kMaxLoraLinears> weight{};  // [N, K8] where it cannot be read in place
  float* dx = nullptr;                       // [M, K8] where dx takes several products
  float* partial;

  LoraBackwardScratch(Arena& arena, const Device& device, const LoraCall& call, const LoraSizes& s_,
                      bool several_products) {
    using Products = LoraProducts<T>;
    if (!Products::readable(user_rows(call.x))) x = arena.take<T>(s_.m, s_.k8);
    a = arena.take<T>(s_.rank, s_.k8);
    s = arena.take<T>(s_.m, s_.rank);
    ds = arena.take<T>(s_.m, s_.rank);
    if (several_products) dx = arena.take<float>(s_.m, s_.k8);
    int64_t most = 0, most_b = 0;
    for (int64_t i = 0; i < call.count; ++i) {
      const LoraViews& linear = call.linears[i];
      const int n = static_cast<int>(linear.b.rows), n8 = round_up(n, 8);
      const int rank = s_.padded_rank(i);
      if (!Products::readable(user_rows(linear.dy))) dy[i] = arena.take<T>(s_.m, n8);
      most_b = std::max(most_b, checked_product(n, rank));
      if (call.dx && linear.weight && !Products::readable(user_rows(linear.weight))) {
        weight[i] = arena.take<T>(n, s_.k8);
      }
      most = std::max(most, DyProducts<T>::partials_size(dy_sizes<T>(device, s_.m, n, rank)));
    }
    b = arena.take<T>(most_b);
    for (int64_t first = 0; first < call.count;) {
      const int64_t end = end_of_mask(call, first);
      const int rank = s_.first[end] - s_.first[first];
      most = std::max(most, Products::partials_size(device, s_.m, rank, s_.k));
      most = std::max(most, Products::partials_size(device, s_.k, rank, s_.m));
      first = end;
    }
    partial = arena.take<float>(most);
  }
};

template <class T>
class LoraBackward {
 public:
  LoraBackward(Stream& stream, GemmPath path, const LoraCall& call, const LoraSizes& sizes,
               const LoraBackwardScratch<T>& scratch)
      : stream_(stream),
        device_(stream.device()),
        products_(stream, path, call, sizes),
        call_(call),
        s_(sizes),
        scratch_(scratch) {}

  void run() {
    x_ = products_.operand_of_rows(user_rows(call_.x), s_.m, scratch_.x);
    products_.pack_stacked_a(scratch_.a);
    for_each_mask([&](int64_t first, int64_t end) { s_of(first, end); });
    for (int64_t i = 0; i < call_.count; ++i) {
      dy_[i] = products_.operand_of_rows(user_rows(call_.linears[i].dy), s_.m, scratch_.dy[i]);
      ds_and_db_of(i);
    }
    for_each_mask([&](int64_t first, int64_t end) { da_of(first, end); });
    if (call_.dx) dx();
  }

  // Products that dx takes: see for_each_dx_product.
  static int dx_products(const Device& device, const LoraCall& call) {
    int count = 0;
    for_each_dx_product(device, call, [&](bool, int64_t, int64_t, int64_t, int64_t) { ++count; });
    return count;
  }

 private:
  // Calls visit(with dS A, first, end of mask, first dy W, end of dy W). The first product of a
  // mask holds dS A of all its linears and dy W of three (of none, where dS A stands apart),
  // further ones dy W of four.
  template <class Visit>
  static void for_each_dx_product(const Device& device, const LoraCall& call, const Visit& visit) {
    const bool apart =
        sizeof(T) == 2 && device.hopper() && gemm_path() != GemmPath::kPortable && masked(call);
    for (int64_t first = 0; first < call.count;) {
      const int64_t end = end_of_mask(call, first);
      int64_t i = apart ? first : std::min<int64_t>(end, first + kMaxExtraSegments);
      visit(true, first, end, first, i);
      while (i < end) {
        const int64_t stop = std::min<int64_t>(end, i + kMaxExtraSegments + 1);
        // Linears without a weight have no product; a launch of none of them is none.
        bool any = false;
        for (int64_t j = i; j < stop; ++j) any = any || call.linears[j].weight;
        if (any) visit(false, first, end, i, stop);
        i = stop;
      }
      first = end;
    }
  }

  static bool masked(const LoraCall& call) {
    return lora_dropout(call, call.linears[0]).threshold != 0;
  }

  template <class Visit>
  void for_each_mask(const Visit& visit) const {
    for (int64_t first = 0; first < call_.count;) {
      const int64_t end = end_of_mask(call_, first);
      visit(first, end);
      first = end;
    }
  }

  // dS, where dx or da needs it, and db, where it is asked for, in as few reads of dy as the rank
  // allows.
  void ds_and_db_of(int64_t i) {
    using Kernel = DyProducts<T>;
    const LoraViews& linear = call_.linears[i];
    const bool wants_ds = call_.dx || linear.da;
    if (!wants_ds && !linear.db) return;
    const int n = static_cast<int>(linear.b.rows), rank = s_.padded_rank(i);
    if (wants_ds) products_.pack(user_rows(linear.b), n, scratch_.b, rank, n, rank);
    for (int first = 0; first < rank; first += Kernel::kRank) {
      typename Kernel::Params p = dy_sizes<T>(device_, s_.m, n, rank - first);
      p.dy = dy_[i];
      if (wants_ds) p.b = scratch_.b + first, p.b_stride = rank;
      if (linear.db) p.s = scratch_.s + s_.first[i] + first, p.s_stride = s_.rank;
      p.ds_partials = scratch_.partial;
      p.db_partials = scratch_.partial + int64_t{p.panels} * s_.m * p.rank;
      stream_.launch<Kernel>(p, Kernel::blocks(p));

      const int used = std::min(p.rank, static_cast<int>(linear.b.cols) - first);
      if (wants_ds) {
        const Partials partials{p.ds_partials, p.panels, p.rank, int64_t{s_.m} * p.rank};
        products_.reduce_rows(partials, 0, used, p.rank, linear.scale, 1.f, {},
                              scratch_.ds + s_.first[i] + first);
      }
      if (linear.db) {
        View2 columns = linear.db;
        columns.data = linear.db.at(0, first);
        columns.cols = used;
        const Partials partials{p.db_partials, p.chunks, p.rank, int64_t{n} * p.rank};
        products_.reduce_gradient(partials, 0, false, linear.scale, columns);
      }
    }
  }

  // S of the linears whose db is asked for: converted, or, where it was not kept, computed again.
  void s_of(int64_t first, int64_t end) {
    bool missing = false;
    for (int64_t i = first; i < end; ++i) {
      const LoraViews& linear = call_.linears[i];
      missing = missing || (linear.db && !linear.s);
    }
    if (missing) {
      products_.s_of_mask(
          first, end, x_, scratch_.a, scratch_.partial, scratch_.s,
          [](const LoraViews&) { return 1.f; }, [](const LoraViews&) { return View2{}; });
    }
    for (int64_t i = first; i < end; ++i) {
      const LoraViews& linear = call_.linears[i];
      if (!linear.db || !linear.s) continue;
      products_.pack(user_rows(linear.s), s_.m, scratch_.s + s_.first[i], s_.rank, s_.m,
                     s_.padded_rank(i));
    }
  }

  void da_of(int64_t first, int64_t end) {
    bool wanted = false, gaps = false;
    for (int64_t i = first; i < end; ++i) {
      wanted = wanted || call_.linears[i].da;
      gaps = gaps || !call_.linears[i].da;
    }
    if (!wanted) return;
    const Dropout dropout = lora_dropout(call_, call_.linears[first]);
    if (gaps && !call_.dx) {  // dS of the others was not computed
      for (int64_t i = first; i < end; ++i) {
        if (call_.linears[i].da) da_of_run(i, i + 1, dropout);
      }
    } else {
      da_of_run(first, end, dropout);
    }
  }

  void da_of_run(int64_t first, int64_t end, const Dropout& dropout) {
    const Partials partials = products_.template few_columns<Major::kMN, Major::kMN>(
        s_.k, s_.first[end] - s_.first[first], s_.m, x_,
        matrix(scratch_.ds + s_.first[first], s_.rank), dropout, scratch_.partial);
    for (int64_t i = first; i < end; ++i) {
      if (!call_.linears[i].da) continue;
      products_.reduce_gradient(partials, s_.first[i] - s_.first[first], true, dropout.scale,
                                call_.linears[i].da);
    }
  }

  void dx() {
    const int count = dx_products(device_, call_);
    int index = 0;
    for_each_dx_product(
        device_, call_,
        [&](bool with_ds, int64_t first, int64_t end, int64_t begin_w, int64_t end_w) {
          GemmProblem problem;
          problem.m = s_.m, problem.n = s_.k;
          int segments = 0;
          LoraEpilogue::Params epilogue{};
          if (with_ds) {
            products_.add_segment(problem, segments, matrix(scratch_.ds + s_.first[first], s_.rank),
                                  matrix(scratch_.a + int64_t{s_.first[first]} * s_.k8, s_.k8),
                                  s_.first[end] - s_.first[first]);
            epilogue.dropout = lora_dropout(call_, call_.linears[first]);
          }
          for (int64_t i = begin_w; i < end_w; ++i) {
            const View2& weight = call_.linears[i].weight;
            if (!weight) continue;
            const int n = static_cast<int>(weight.rows);
            products_.add_segment(
                problem, segments, dy_[i],
                products_.operand_of_rows(user_rows(weight), n, scratch_.weight[i]), n);
          }
          const bool last = ++index == count;
          if (last) {
            epilogue.out = user_rows(call_.dx);
            epilogue.accumulate = call_.accumulate_dx;
            if (count > 1) epilogue.addend = scratch_.dx, epilogue.addend_stride = s_.k8;
          } else {
            const View2 sum{scratch_.dx, DType::kFloat32, s_.m, s_.k8, s_.k8};
            epilogue.out = user_rows(sum);
            epilogue.accumulate = index > 1;
          }
          if (with_ds && masked(call_)) {
            products_.masked_product(problem, epilogue);
          } else {
            products_.template product<Major::kMN>(problem, epilogue);
          }
        });
  }

  Stream& stream_;
  const Device& device_;
  LoraProducts<T> products_;
  const LoraCall& call_;
  const LoraSizes& s_;
  const LoraBackwardScratch<T>& scratch_;
  Operand x_;
  std::array<Operand, kMaxLoraLinears> dy_{};
};

template <class T>
sl_status typed_lora_backward(const Device& device, const sl_context& context,
                              const LoraCall& call) {
  const LoraSizes sizes(call);
  const bool several = call.dx && LoraBackward<T>::dx_products(device, call) > 1;
  void* memory = nullptr;
  const auto lay_out = [&](Arena& l) {
    return LoraBackwardScratch<T>(l, device, call, sizes, several);
  };
  SL_TRY(lora_workspace(device, context, lay_out, &memory));
  Arena arena(memory);
  const LoraBackwardScratch<T> scratch = lay_out(arena);
  Stream stream(device, static_cast<cudaStream_t>(context.stream));
  LoraBackward<T>(stream, gemm_path<T>(context), call, sizes, scratch).run();
  return status_of(stream.error(), "lora backward");
}

}  // namespace sightline::cuda
