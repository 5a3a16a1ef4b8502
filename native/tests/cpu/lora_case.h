// One LoRA call with all its tensors, and the fp64 reference of the formulas in sightline.h.
#pragma once

#include "abi/tensor.h"
#include "common/philox.h"

namespace abi {

using Vector = std::vector<double>;

struct LoraShape {
  std::vector<int64_t> leading;  // of x: {}, {M} or {B,T}
  int64_t k;
  std::vector<int64_t> n, rank;  // per linear
  DType x = DType::kFloat32, weight = DType::kFloat32, adapter = DType::kFloat32;
  DType gradient = DType::kFloat32;
  double dropout = 0;
  bool has_weight = true, has_bias = true, keeps_s = true;
  int64_t pad = 0;
  std::vector<uint64_t> seeds = {};  // empty: one for all
};

inline std::vector<int64_t> with_last(std::vector<int64_t> leading, int64_t last) {
  leading.push_back(last);
  return leading;
}

struct LoraCase {
  struct Linear {
    Tensor weight, bias, a, b, y, s, dy, da, db;
    double scale;
    uint64_t seed;
  };

  LoraShape shape;
  int64_t m = 1;
  Tensor x, dx;
  std::vector<std::unique_ptr<Linear>> linears;
  int threads = 0;
  sl_context context{};

  LoraCase(const LoraShape& s, uint64_t seed)
      : shape(s),
        x(with_last(s.leading, s.k), s.x, s.pad),
        dx(with_last(s.leading, s.k), s.x, s.pad) {
    Random random(seed);
    for (int64_t d : s.leading) m *= d;
    x.fill(random);
    dx.fill(random);
    for (size_t i = 0; i < s.n.size(); ++i) {
      const int64_t n = s.n[i], r = s.rank[i];
      linears.push_back(std::unique_ptr<Linear>(new Linear{{{n, s.k}, s.weight, s.pad},
                                                           {{n}, s.weight},
                                                           {{r, s.k}, s.adapter, s.pad},
                                                           {{n, r}, s.adapter, s.pad},
                                                           {with_last(s.leading, n), s.x, s.pad},
                                                           {{m, r}},
                                                           {with_last(s.leading, n), s.x, s.pad},
                                                           {{r, s.k}, s.gradient, s.pad},
                                                           {{n, r}, s.gradient, s.pad},
                                                           0.5 + static_cast<double>(i),
                                                           s.seeds.empty() ? 99 : s.seeds[i]}));
      Linear& l = *linears.back();
      const double width = 1 / std::sqrt(static_cast<double>(s.k));
      l.weight.fill(random, width);
      l.bias.fill(random);
      l.a.fill(random, width);
      l.b.fill(random, 1 / std::sqrt(static_cast<double>(r)));
      l.y.fill(random);
      l.s.fill(random);
      l.dy.fill(random);
      l.da.fill(random);
      l.db.fill(random);
    }
  }

  void move_to(const sl_device& device) {  // for a backend that shares the memory: an emulated one
    for (Tensor* t : {&x, &dx}) t->raw().device = device;
    for (auto& l : linears) {
      for (Tensor* t : {&l->weight, &l->bias, &l->a, &l->b, &l->y, &l->s, &l->dy, &l->da, &l->db}) {
        t->raw().device = device;
      }
    }
  }

  std::vector<sl_lora_linear> abi_linears() {
    std::vector<sl_lora_linear> result;
    for (auto& l : linears) {
      sl_lora_linear linear{};
      linear.weight = shape.has_weight ? l->weight.get() : nullptr;
      linear.bias = shape.has_weight && shape.has_bias ? l->bias.get() : nullptr;
      linear.a = l->a.get();
      linear.b = l->b.get();
      linear.scale = l->scale;
      linear.dropout_seed = l->seed;
      linear.y = l->y.get();
      linear.s = shape.keeps_s ? l->s.get() : nullptr;
      linear.grad_y = l->dy.get();
      linear.grad_a = l->da.get();
      linear.grad_b = l->db.get();
      result.push_back(linear);
    }
    return result;
  }
  sl_lora_args args_of(const std::vector<sl_lora_linear>& abi) {
    sl_lora_args args{};
    args.x = x.get();
    args.linears = abi.data();
    args.count = static_cast<int64_t>(abi.size());
    args.dropout = shape.dropout;
    args.grad_x = dx.get();
    return args;
  }
  sl_status forward() {
    context.num_threads = threads;
    const auto abi = abi_linears();
    const sl_lora_args args = args_of(abi);
    return sl_lora_forward(&context, &args);
  }
  sl_status backward(bool accumulate_x = false, bool accumulate_weights = false) {
    context.num_threads = threads;
    const auto abi = abi_linears();
    sl_lora_args args = args_of(abi);
    args.accumulate_x = accumulate_x;
    args.accumulate_weights = accumulate_weights;
    return sl_lora_backward(&context, &args);
  }

  // ---- fp64 reference ----
  Vector mask_of(const Linear& l) const {  // [M,K]: 1/(1-p) or 0
    Vector mask(static_cast<size_t>(m * shape.k), 1.);
    if (shape.dropout == 0) return mask;
    const float p = static_cast<float>(shape.dropout);
    const uint32_t threshold = sightline::dropout_threshold(p);
    for (int64_t i = 0; i < m * shape.k; ++i) {
      const bool keeps = sightline::dropout_keeps(l.seed, sightline::kDropoutLora,
                                                  static_cast<uint64_t>(i / shape.k),
                                                  static_cast<uint64_t>(i % shape.k), threshold);
      mask[i] = keeps ? 1. / (1. - static_cast<double>(p)) : 0.;
    }
    return mask;
  }
  Vector dropped_of(const Linear& l) const {
    Vector dropped = mask_of(l);
    for (int64_t i = 0; i < m * shape.k; ++i) dropped[i] *= x.at(i);
    return dropped;
  }
  // sum (+)= a b, a [rows,inner], b [inner,columns]
  static void add_product(Vector& sum, const Vector& a, const Vector& b, int64_t rows,
                          int64_t inner, int64_t columns, double factor = 1) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t k = 0; k < inner; ++k) {
        const double scaled = factor * a[i * inner + k];
        for (int64_t j = 0; j < columns; ++j) sum[i * columns + j] += scaled * b[k * columns + j];
      }
    }
  }
  static Vector transposed(const Vector& a, int64_t rows, int64_t columns) {
    Vector result(a.size());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) result[j * rows + i] = a[i * columns + j];
    }
    return result;
  }
  static Vector transposed(const Tensor& t) { return transposed(t.values(), t.rows(), t.cols()); }

  Vector s_of(const Linear& l) const {  // drop(x) A^T
    Vector s(static_cast<size_t>(m * l.a.rows()));
    add_product(s, dropped_of(l), transposed(l.a), m, shape.k, l.a.rows());
    return s;
  }
  Vector y_of(const Linear& l, const Vector& before) const {
    const int64_t r = l.a.rows(), n = l.b.rows();
    Vector y = before;
    if (shape.has_weight) {
      for (int64_t i = 0; i < m * n; ++i) y[i] = shape.has_bias ? l.bias.at(i % n) : 0.;
      add_product(y, x.values(), transposed(l.weight), m, shape.k, n);
    }
    add_product(y, s_of(l), transposed(l.b), m, r, n, l.scale);
    return y;
  }
  Vector t_of(const Linear& l) const {  // scale dy B
    Vector t(static_cast<size_t>(m * l.a.rows()));
    add_product(t, l.dy.values(), l.b.values(), m, l.b.rows(), l.a.rows(), l.scale);
    return t;
  }
  Vector dx_of(const Vector& before) const {
    Vector result = before;
    for (auto& l : linears) {
      Vector masked(result.size());
      add_product(masked, t_of(*l), l->a.values(), m, l->a.rows(), shape.k);
      const Vector mask = mask_of(*l);
      for (size_t i = 0; i < result.size(); ++i) result[i] += mask[i] * masked[i];
      if (!shape.has_weight) continue;
      add_product(result, l->dy.values(), l->weight.values(), m, l->b.rows(), shape.k);
    }
    return result;
  }
  Vector da_of(const Linear& l, const Vector& before) const {
    Vector da = before;
    add_product(da, transposed(t_of(l), m, l.a.rows()), dropped_of(l), l.a.rows(), m, shape.k);
    return da;
  }
  Vector db_of(const Linear& l, const Vector& before) const {
    Vector db = before;
    const int64_t n = l.b.rows(), r = l.a.rows();
    add_product(db, transposed(l.dy.values(), m, n), s_of(l), n, m, r, l.scale);
    return db;
  }
};

inline double tolerance(DType x) { return x == DType::kFloat32 ? 1e-5 : 8e-3; }

}  // namespace abi
