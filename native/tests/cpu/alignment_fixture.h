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

  // The projector: by default that of the paper.
  struct Build {
    std::vector<int64_t> inner{};  // widths between the layers; none: P
    int layers = 3;
    Norm norm = Norm::kLayer;
    Activation activation = Activation::kSilu;
    bool norm_weight = true, norm_bias = true, bias = true;
  };

  Shape shape;
  Types types;
  TestTensor hidden, teacher, mask, cosine, grad_hidden;
  // norm weight and bias, then weight and bias of each layer; without elements where there is none
  std::vector<TestTensor> weights, gradients;
  ProjectorOptions options;
  LossOptions loss_options;
  float grad_scale = 1, loss = NAN;
  bool with_mask = false, with_gradient = true, with_weight_gradients = false;
  bool accumulate_hidden = false, accumulate_weights = false, training = false;
  uint64_t seed = 99;
  sl_context context{};

  static std::vector<TestTensor> parameters(const Shape& s, const Build& build, DType type) {
    std::vector<TestTensor> all;
    const auto add = [&](bool present, int64_t rows, int64_t cols) {
      all.emplace_back(type, 1, present ? rows : 0, present ? cols : 0);
    };
    add(build.norm_weight, 1, s.d), add(build.norm_bias, 1, s.d);
    int64_t in = s.d;
    for (int l = 0; l < build.layers; ++l) {
      int64_t out = s.z;
      if (l + 1 < build.layers) {
        out = build.inner.empty() ? s.p : build.inner[static_cast<size_t>(l)];
      }
      add(true, out, in), add(build.bias, 1, out);
      in = out;
    }
    return all;
  }

  AlignmentProblem(Shape s, Types t, uint64_t random = 1)
      : AlignmentProblem(s, t, Build(), random) {}

  AlignmentProblem(Shape s, Types t, const Build& build, uint64_t random = 1)
      : shape(s),
        types(t),
        hidden(t.hidden, s.b, s.n, s.d, 3, 17),
        teacher(t.teacher, s.b, s.n, s.z, 1, 5),
        mask(kF32, 1, s.b, s.n, 2),
        cosine(kF32, 1, s.b, s.n, 4),
        grad_hidden(t.hidden, s.b, s.n, s.d, 5, 23),
        weights(parameters(s, build, t.weights)),
        gradients(parameters(s, build, t.gradients)) {
    hidden.fill(Normal(random, 1.5, 0.3));
    teacher.fill(Normal(random + 1));
    grad_hidden.fill(Normal(random + 2, 1e-3));
    std::mt19937_64 engine(random + 3);
    mask.fill([&] { return engine() % 4 == 0 ? 0.0 : double(engine() % 1000) / 500; });
    const size_t last = weights.size() - 1;
    for (size_t i = 0; i <= last; ++i) {
      const double scale = i < 2        ? 0.2
                           : i % 2 == 0 ? 1 / std::sqrt(double(weights[i].cols))
                                        : (i == last ? 0.1 : 0.3);
      weights[i].fill(Normal(random + 4 + i, 1.7 * scale, i == 0 ? 1 : 0));
      gradients[i].fill(Normal(random + 14 + i, 1e-2));
    }
    options.compute = t.compute;
    options.layers = build.layers;
    options.norm = build.norm;
    options.activation = build.activation;
  }

  int64_t narrowest() const {  // of the widths
    int64_t least = shape.d;
    for (size_t i = 2; i < weights.size(); i += 2) least = std::min(least, weights[i].rows);
    return least;
  }

  static ProjectorViews views(std::vector<TestTensor>& t) {
    const auto view = [&](size_t i) {
      return i < t.size() && t[i].rows > 0 ? t[i].view2() : View2();
    };
    ProjectorViews views{view(0), view(1), {}};
    for (size_t l = 0; l < kMaxLayers; ++l) views.layers[l] = {view(2 + 2 * l), view(3 + 2 * l)};
    return views;
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
    c.loss_options = loss_options;
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
    ReferenceProjector w{
        options.norm, options.activation, weights[0].values(), weights[1].values(), {}};
    for (size_t i = 2; i < weights.size(); i += 2) {
      w.layers.push_back({size_t(weights[i].cols), size_t(weights[i].rows), weights[i].values(),
                          weights[i + 1].values()});
    }
    return w;
  }
  ReferenceInput reference_input() const {
    ReferenceInput in{
        shape.b * shape.n,
        shape.b,
        hidden.values(),
        teacher.values(),
        with_mask ? mask.values() : Values(static_cast<size_t>(shape.b * shape.n), 1.0),
        loss_options};
    in.grad_scale = grad_scale;
    in.norm_eps = options.norm_eps;
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
  if (i < 2) return i == 0 ? w.gamma : w.beta;
  const ReferenceLayer& layer = w.layers[i / 2 - 1];
  return i % 2 == 0 ? layer.weight : layer.bias;
}

inline Values plus(Values a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

}  // namespace sightline
