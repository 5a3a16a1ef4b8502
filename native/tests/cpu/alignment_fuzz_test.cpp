// Random calls of the alignment loss through the C ABI: sizes, dtypes, values, threads, beside the
// fp64 reference and the same call on one thread.
#include "alignment_checks.h"
#include "fuzz.h"
#include "isa_test.h"

using namespace sightline;

namespace {

struct AbiTensor {
  int64_t shape[3], strides[3];
  sl_tensor tensor;

  AbiTensor(TestTensor& t, int32_t dims)
      : shape{t.batch, t.rows, t.cols}, strides{t.batch_stride, t.row_stride, 1} {
    tensor = {t.bytes.data(),
              {SL_CPU, 0},
              dims,
              t.dtype == kF32 ? abi::kFloat32 : abi::kBFloat16,
              shape + (3 - dims),
              strides + (3 - dims),
              0};
  }
};

struct AbiProjector {
  std::vector<AbiTensor> tensors;
  sl_projector projector{};

  explicit AbiProjector(std::vector<TestTensor>& all) {
    tensors.reserve(all.size());  // they point into themselves
    for (size_t i = 0; i < all.size(); ++i) {
      tensors.emplace_back(all[i], i >= 2 && i % 2 == 0 ? 2 : 1);
    }
    const auto at = [&](size_t i) { return all[i].rows > 0 ? &tensors[i].tensor : nullptr; };
    projector.norm_weight = at(0), projector.norm_bias = at(1);
    for (size_t i = 2; i < all.size(); i += 2) projector.layers[i / 2 - 1] = {at(i), at(i + 1)};
  }
};

sl_projector_desc description(const AlignmentProblem& p) {
  const ProjectorOptions& o = p.options;
  sl_projector_desc desc{};
  desc.size = sizeof desc;
  desc.layers = o.layers;
  desc.norm = static_cast<int32_t>(o.norm);
  desc.activation = static_cast<int32_t>(o.activation);
  desc.norm_eps = o.norm_eps;
  desc.dropout = o.dropout;
  desc.compute = p.types.compute == kF32 ? abi::kFloat32 : abi::kBFloat16;
  desc.trainable = o.trainable;
  return desc;
}

sl_loss_desc description(const LossOptions& loss) {
  sl_loss_desc desc{};
  desc.size = sizeof desc;
  desc.kind = static_cast<int32_t>(loss.kind);
  desc.teacher_norm = loss.spatial_teacher;
  desc.normalize = loss.normalize;
  desc.negatives = static_cast<int32_t>(loss.negatives);
  desc.beta = loss.beta;
  desc.temperature = loss.temperature;
  desc.false_negatives = loss.false_negatives;
  return desc;
}

// Whether each token has another to be told apart from.
bool has_negatives(const AlignmentProblem& p) {
  const int64_t images = p.shape.b, tokens = p.shape.n;
  if (images * tokens == 0) return true;
  if (p.loss_options.negatives == Negatives::kOthers) return images > 1;
  return tokens > 1 || (images > 1 && p.loss_options.negatives == Negatives::kAll);
}

sl_status run(AlignmentProblem& p, int threads) {
  AbiProjector weights(p.weights), gradients(p.gradients);
  const sl_projector_desc desc = description(p);
  sl_alignment* handle = nullptr;
  CHECK_EQ(sl_alignment_create(&weights.projector, &desc, &handle), SL_OK);
  AbiTensor hidden(p.hidden, 3), teacher(p.teacher, 3), mask(p.mask, 2), cosine(p.cosine, 2),
      grad_hidden(p.grad_hidden, 3);
  const sl_tensor loss{&p.loss, {SL_CPU, 0}, 0, abi::kFloat32, nullptr, nullptr, 0};
  sl_tensor scale = loss;
  scale.data = &p.grad_scale;
  sl_alignment_args args{};
  args.hidden = &hidden.tensor;
  args.teacher = &teacher.tensor;
  args.token_weight = p.with_mask ? &mask.tensor : nullptr;
  args.grad_scale = &scale;
  args.loss = const_cast<sl_tensor*>(&loss);
  args.cosine = &cosine.tensor;
  args.grad_hidden = p.with_gradient ? &grad_hidden.tensor : nullptr;
  args.grad_weights = p.with_weight_gradients ? &gradients.projector : nullptr;
  args.accumulate_hidden = p.accumulate_hidden;
  args.accumulate_weights = p.accumulate_weights;
  args.training = p.training;
  args.dropout_seed = p.seed;
  const sl_loss_desc loss_desc = description(p.loss_options);
  args.loss_desc = &loss_desc;
  sl_context context{};
  context.num_threads = threads;
  const sl_status status = sl_alignment_loss(handle, &context, &args);
  sl_alignment_destroy(handle);
  return status;
}

// A view of a matrix's elements as fuzz::spoil() writes them.
struct Elements {
  TestTensor& t;
  int64_t size() const { return t.batch * t.rows * t.cols; }
  void set(int64_t i, double value) { t.set(i / t.cols, i % t.cols, value); }
};

void check_finite_alike(const TestTensor& actual, const Values& expected) {
  const Values values = actual.values();
  for (size_t i = 0; i < values.size(); ++i) {
    CHECK_EQ(std::isfinite(values[i]), std::isfinite(expected[i]));
    if (std::isnan(values[i])) CHECK_EQ(std::bit_cast<uint64_t>(values[i]), fuzz::kOneNan);
  }
}

void check_case(uint64_t seed) {
  abi::Random r(seed);
  const auto type = [&r] { return r.below(2) ? kF32 : kBf16; };
  const int64_t tokens = r.below(15) == 0 ? 0 : fuzz::odd_size(r, 130);
  AlignmentProblem::Build build;
  build.layers = 1 + static_cast<int>(r.below(4));
  for (int i = 0; i < 3; ++i) build.inner.push_back(fuzz::odd_size(r, 130));
  build.norm = static_cast<Norm>(r.below(kNorms));
  build.activation = static_cast<Activation>(r.below(kActivations));
  build.norm_weight = build.norm != Norm::kNone && r.below(4) != 0;
  build.norm_bias = build.norm_weight && r.below(3) != 0;
  build.bias = r.below(4) != 0;
  AlignmentProblem problem(
      {1 + r.below(3), tokens, fuzz::odd_size(r, 200), 0, fuzz::odd_size(r, 70)},
      {type(), type(), type(), type(), type()}, build, r.bits() >> 8);
  problem.options.trainable = r.below(2) == 1;
  problem.with_weight_gradients = problem.options.trainable && r.below(3) != 0;
  problem.with_gradient = r.below(4) != 0;
  if (problem.options.trainable && r.below(2) == 1) {
    problem.options.dropout = static_cast<float>(0.8 * r.uniform());
    problem.training = true;
  }
  LossOptions& loss = problem.loss_options;
  loss.kind = static_cast<LossKind>(r.below(kLossKinds));
  loss.spatial_teacher = r.below(4) == 0;
  loss.normalize = r.below(2) == 1;
  loss.negatives = static_cast<Negatives>(r.below(kNegatives));
  loss.beta = static_cast<float>(0.05 + r.uniform());
  loss.temperature = static_cast<float>(0.05 + r.uniform());
  if (loss.kind == LossKind::kInfoNce && !has_negatives(problem)) loss.kind = LossKind::kL2;
  problem.with_mask = r.below(2) == 1;
  problem.grad_scale = r.below(2) ? 1.f : -0.75f;
  // NaN in an output that is not added to does not count.
  problem.accumulate_hidden = r.below(2) == 1;
  problem.accumulate_weights = r.below(2) == 1;
  if (!problem.accumulate_hidden) problem.grad_hidden.fill([] { return NAN; });
  const bool wild = r.below(2) == 1;
  for (TestTensor* t : {&problem.hidden, &problem.teacher, &problem.mask}) {
    Elements elements{*t};
    if (r.below(3) == 0) fuzz::spoil(r, elements, wild && t != &problem.mask);
  }

  const AlignmentProblem start = problem;
  AlignmentProblem one = problem;
  CHECK_EQ(run(problem, static_cast<int>(2 + r.below(6))), SL_OK);
  CHECK_EQ(run(one, 1), SL_OK);
  CHECK_EQ(std::bit_cast<uint32_t>(problem.loss), std::bit_cast<uint32_t>(one.loss));
  CHECK(problem.cosine.bytes == one.cosine.bytes);
  CHECK(problem.grad_hidden.bytes == one.grad_hidden.bytes);
  for (size_t i = 0; i < problem.gradients.size(); ++i)
    CHECK(problem.gradients[i].bytes == one.gradients[i].bytes);
  CHECK(problem.hidden.bytes == start.hidden.bytes);
  CHECK(problem.grad_hidden.gaps_untouched());

  const ReferenceResult reference = problem.reference();
  CHECK_EQ(std::isfinite(problem.loss), std::isfinite(reference.loss));
  check_finite_alike(problem.cosine, reference.cosine);
  if (problem.with_gradient) check_finite_alike(problem.grad_hidden, reference.hidden);
  if (problem.with_weight_gradients && !std::isfinite(reference.loss)) {
    const Values bias = problem.gradients.back().values();
    CHECK(bias.empty() ||
          !std::all_of(bias.begin(), bias.end(), [](double x) { return std::isfinite(x); }));
  }
  // The bounds are of sums of many terms; what few come to after they cancel says nothing.
  const int64_t few = problem.types.compute == kF32 ? 13 : 61;
  if (!std::isfinite(reference.loss) || problem.narrowest() < few) return;
  AlignmentBefore before{start.grad_hidden.values(), {}};
  for (const TestTensor& g : start.gradients) before.gradients.push_back(g.values());
  check_problem(problem, before);
}

}  // namespace

TEST(random_calls_match_the_oracle) { fuzz::for_each_seed(200, check_case); }

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
