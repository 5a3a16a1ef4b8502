// One alignment problem: random tensors of any dtype and stride, a call of the CPU backend, and the
// fp64 answer for the values that the tensors hold.
#pragma once

#include <omp.h>

#include <memory>

#include "alignment_reference.h"
#include "api/backend.h"
#include "matrices.h"

namespace sightline {

constexpr DType kF32 = DType::kFloat32, kBf16 = DType::kBFloat16;

struct AlignmentProblem {
  struct Shape {
    int64_t b, n, d, p, z;
  };
  struct Types {
    DType hidden = kF32, teacher = kF32, weights = kF32, gradients = kF32, compute = kF32;
  };

  Shape shape;
  Types types;
  TestTensor hidden, teacher, mask, cosine, grad_hidden;
  std::vector<TestTensor> weights, gradients;  // ln_weight ln_bias w1 b1 w2 b2 w3 b3
  AlignmentOptions options;
  float grad_scale = 1, loss = NAN;
  bool with_mask = false, with_gradient = true, with_weight_gradients = false;
  bool accumulate_hidden = false, accumulate_weights = false, training = false;
  uint64_t seed = 99;
  sl_context context{};

  static std::vector<TestTensor> parameters(const Shape& s, DType type) {
    std::vector<TestTensor> all;
    const int64_t sizes[8][2] = {{1, s.d},   {1, s.d}, {s.p, s.d}, {1, s.p},
                                 {s.p, s.p}, {1, s.p}, {s.z, s.p}, {1, s.z}};
    for (const auto& size : sizes) all.emplace_back(type, 1, size[0], size[1]);
    return all;
  }

  AlignmentProblem(Shape s, Types t, uint64_t random = 1)
      : shape(s),
        types(t),
        hidden(t.hidden, s.b, s.n, s.d, 3, 17),
        teacher(t.teacher, s.b, s.n, s.z, 1, 5),
        mask(kF32, 1, s.b, s.n, 2),
        cosine(kF32, 1, s.b, s.n, 4),
        grad_hidden(t.hidden, s.b, s.n, s.d, 5, 23),
        weights(parameters(s, t.weights)),
        gradients(parameters(s, t.gradients)) {
    hidden.fill(Normal(random, 1.5, 0.3));
    teacher.fill(Normal(random + 1));
    grad_hidden.fill(Normal(random + 2, 1e-3));
    std::mt19937_64 engine(random + 3);
    mask.fill([&] { return engine() % 4 == 0 ? 0.0 : double(engine() % 1000) / 500; });
    const double d = double(s.d), p = double(s.p);
    const double scale[8] = {
        0.2, 0.2, 1 / std::sqrt(d), 0.3, 1 / std::sqrt(p), 0.3, 1 / std::sqrt(p), 0.1};
    for (size_t i = 0; i < 8; ++i) {
      weights[i].fill(Normal(random + 4 + i, 1.7 * scale[i], i == 0 ? 1 : 0));
      gradients[i].fill(Normal(random + 14 + i, 1e-2));
    }
    options.compute = t.compute;
  }

  static ProjectorViews views(std::vector<TestTensor>& t) {
    return {t[0].view2(), t[1].view2(), t[2].view2(), t[3].view2(),
            t[4].view2(), t[5].view2(), t[6].view2(), t[7].view2()};
  }

  AlignmentCall call() {
    AlignmentCall c{};
    c.hidden = hidden.view3();
    c.teacher = teacher.view3();
    if (with_mask) c.token_weight = mask.view2();
    c.grad_scale = grad_scale == 1 ? nullptr : &grad_scale;
    c.loss = &loss;
    c.cosine = cosine.view2();
    if (with_gradient) c.grad_hidden = grad_hidden.view3();
    if (with_weight_gradients) c.grad_weights = views(gradients);
    c.accumulate_hidden = accumulate_hidden;
    c.accumulate_weights = accumulate_weights;
    c.training = training;
    c.dropout_seed = seed;
    return c;
  }

  struct Handle {
    void* alignment = nullptr;
    sl_status status;
    explicit Handle(AlignmentProblem& problem)
        : status(
              kCpuBackend.alignment_create(views(problem.weights), problem.options, &alignment)) {}
    Handle(const Handle&) = delete;
    ~Handle() { kCpuBackend.alignment_destroy(alignment); }
  };

  sl_status run() {
    Handle handle(*this);
    return handle.status != SL_OK ? handle.status : run(handle);
  }
  sl_status run(const Handle& handle) {
    return kCpuBackend.alignment_loss(handle.alignment, context, call());
  }

  ReferenceProjector reference_projector() const {
    return {shape.d,
            shape.p,
            shape.z,
            weights[0].values(),
            weights[1].values(),
            weights[2].values(),
            weights[3].values(),
            weights[4].values(),
            weights[5].values(),
            weights[6].values(),
            weights[7].values()};
  }
  ReferenceInput reference_input() const {
    ReferenceInput in{
        shape.b * shape.n, hidden.values(), teacher.values(),
        with_mask ? mask.values() : Values(static_cast<size_t>(shape.b * shape.n), 1.0)};
    in.grad_scale = grad_scale;
    in.ln_eps = options.ln_eps;
    in.dropout = training ? options.dropout : 0;
    in.seed = seed;
    return in;
  }
  ReferenceResult reference() const {
    return reference_alignment(reference_projector(), reference_input());
  }
};

inline ReferenceResult mirrored_reference(const AlignmentProblem& problem) {
  return mirrored_alignment(problem.reference_projector(), problem.reference_input(),
                            [](double x) { return double(round_to_bf16(float(x))); });
}

inline Values weight_gradients(const ReferenceResult& r, size_t i) {
  const ReferenceProjector& w = r.weights;
  const Values* all[8] = {&w.gamma, &w.beta, &w.w1, &w.b1, &w.w2, &w.b2, &w.w3, &w.b3};
  return *all[i];
}

inline Values plus(Values a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

}  // namespace sightline
