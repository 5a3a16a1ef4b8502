// alignment_loss and Projector.
#include "check.h"

namespace {

constexpr int64_t D = 65, P = 31, Z = 13, B = 2, S = 7, N = 4, FIRST = 2;

std::vector<Tensor> parameters(torch::ScalarType dtype = torch::kFloat) {
  std::vector<Tensor> p{
      torch::rand(D) + 0.5,     torch::randn(D), torch::randn({P, D}) / 8, torch::randn(P),
      torch::randn({P, P}) / 6, torch::randn(P), torch::randn({Z, P}) / 6, torch::randn(Z)};
  for (Tensor& tensor : p) tensor = tensor.to(dtype);
  return p;
}

std::vector<Tensor> wide_all(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(wide(tensor));
  return result;
}

std::vector<Tensor> trainable(std::vector<Tensor> tensors) {
  for (Tensor& tensor : tensors) tensor.requires_grad_();
  return tensors;
}

// The textbook, on tokens FIRST ... FIRST + N - 1.
Tensor reference(const std::vector<Tensor>& q, const Tensor& hidden, const Tensor& teacher,
                 const Tensor& weight) {
  const Tensor n = torch::layer_norm(hidden.narrow(1, FIRST, N), {D}, q[0], q[1], 1e-5);
  const Tensor u = torch::silu(torch::linear(n, q[2], q[3]));
  const Tensor z = torch::linear(torch::silu(torch::linear(u, q[4], q[5])), q[6], q[7]);
  const Tensor cosine = torch::cosine_similarity(z, teacher, -1, 1e-12);
  return weight.defined() ? -(cosine * weight).sum() / weight.sum() : -cosine.mean();
}

struct Case {
  Tensor hidden, teacher, weight;
};

Case make(torch::ScalarType dtype = torch::kFloat) {
  return {torch::randn({B, S, D}).to(dtype), torch::randn({B, N, Z}).to(dtype),
          torch::rand({B, N})};
}

Tensor run(const sightline::Projector& projector, const Case& c, std::optional<int64_t> seed = {}) {
  return sightline::alignment_loss(projector, c.hidden, c.teacher, FIRST, c.weight, seed);
}

double number(const Tensor& tensor) { return tensor.item<double>(); }

TEST(a_frozen_projector_matches_autograd) {
  const std::vector<Tensor> p = parameters(), q = wide_all(p);
  for (const bool bf16_products : {false, true}) {
    const sightline::Projector projector(p, sightline::ProjectorOptions().bf16(bf16_products));
    for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
      Case c = make(dtype);
      c.hidden.requires_grad_();
      const Tensor hidden = wide(c.hidden);
      const Tensor loss = run(projector, c);
      (0.2 * loss).backward();
      const Tensor expected = reference(q, hidden, wide(c.teacher), wide(c.weight));
      (0.2 * expected).backward();
      const double tolerance = tolerance_of(bf16_products ? torch::kBFloat16 : torch::kFloat);
      CHECK_LE(std::abs(number(loss) - number(expected)), tolerance);
      CHECK(loss.scalar_type() == torch::kFloat && c.hidden.grad().scalar_type() == dtype);
      // In bf16 the gradient is rounded when made and when multiplied.
      CHECK_LE(relative(c.hidden.grad(), hidden.grad()),
               2.5 * std::max(tolerance, dtype == torch::kFloat ? 0 : 8e-3));
      CHECK(c.hidden.grad().narrow(1, 0, FIRST).abs().max().item<float>() == 0);
    }
  }
  CHECK(sightline::Projector(p).parameters().empty());
}

TEST(a_trainable_projector_matches_autograd) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const std::vector<Tensor> p = trainable(parameters(dtype)), q = wide_all(p);
    const sightline::Projector projector(
        p, sightline::ProjectorOptions().trainable(true).bf16(dtype != torch::kFloat));
    Case c = make(dtype);
    c.hidden.requires_grad_();
    const Tensor hidden = wide(c.hidden), loss = run(projector, c);
    (0.2 * loss).backward();
    (0.2 * reference(q, hidden, wide(c.teacher), wide(c.weight))).backward();
    CHECK_LE(relative(c.hidden.grad(), hidden.grad()), 2.5 * tolerance_of(dtype));
    for (size_t i = 0; i < p.size(); ++i) {
      CHECK_LE(relative(p[i].grad(), q[i].grad()), 2.5 * tolerance_of(dtype));
      CHECK(p[i].grad().scalar_type() == dtype);
    }
  }
}

TEST(whoever_requires_a_gradient_gets_it) {
  const std::vector<Tensor> plain = parameters();
  for (const bool hidden_too : {false, true}) {
    for (int only = -1; only < 8; ++only) {  // -1: none of the parameters
      std::vector<Tensor> p = plain;
      for (Tensor& tensor : p) tensor = tensor.clone();
      if (only >= 0) p[static_cast<size_t>(only)].requires_grad_();
      const std::vector<Tensor> q = wide_all(p);
      const sightline::Projector projector(p, sightline::ProjectorOptions().trainable(true));
      Case c = make();
      c.weight = Tensor();
      c.hidden.requires_grad_(hidden_too);
      const Tensor hidden = wide(c.hidden), loss = run(projector, c);
      const Tensor expected = reference(q, hidden, wide(c.teacher), {});
      CHECK_LE(std::abs(number(loss) - number(expected)), 1e-5);
      CHECK(loss.requires_grad() == (hidden_too || only >= 0));
      if (!loss.requires_grad()) continue;
      loss.backward();
      expected.backward();
      CHECK(c.hidden.grad().defined() == hidden_too);
      if (hidden_too) CHECK_LE(relative(c.hidden.grad(), hidden.grad()), 1e-5);
      for (int i = 0; i < 8; ++i) {
        const auto k = static_cast<size_t>(i);
        CHECK(p[k].grad().defined() == (i == only));
        if (i == only) CHECK_LE(relative(p[k].grad(), q[k].grad()), 1e-5);
      }
    }
  }
}

TEST(some_inputs_alone_get_gradients) {
  const std::vector<Tensor> p = trainable(parameters()), q = wide_all(p);
  const sightline::Projector projector(p, sightline::ProjectorOptions().trainable(true));
  Case c = make();
  c.hidden.requires_grad_();
  const Tensor hidden = wide(c.hidden);
  const auto found = torch::autograd::grad({run(projector, c)}, {p[4]});
  const auto expected =
      torch::autograd::grad({reference(q, hidden, wide(c.teacher), wide(c.weight))}, {q[4]});
  CHECK_LE(relative(found[0], expected[0]), 1e-5);
  CHECK(!c.hidden.grad().defined() && !p[2].grad().defined());
}

TEST(weights_are_read_at_each_loss) {
  const std::vector<Tensor> p = trainable(parameters());
  sightline::Projector projector(p, sightline::ProjectorOptions().trainable(true));
  const Case c = make();
  const auto expected = [&] {
    return number(reference(wide_all(p), wide(c.hidden), wide(c.teacher), wide(c.weight)));
  };
  CHECK_LE(std::abs(number(run(projector, c)) - expected()), 1e-5);
  {
    const torch::NoGradGuard no_grad;
    p[7].add_(torch::randn(Z));  // as an optimizer does
  }
  CHECK_LE(std::abs(number(run(projector, c)) - expected()), 1e-5);
  torch::optim::SGD optimizer(p, 0.5);
  run(projector, c).backward();
  optimizer.step();
  CHECK_LE(std::abs(number(run(projector, c)) - expected()), 1e-5);
  p[3].set_data(torch::randn(P));  // moved
  CHECK_LE(std::abs(number(run(projector, c)) - expected()), 1e-5);
  p[5].data().add_(3);  // unseen by version counters
  CHECK_LE(std::abs(number(run(projector, c)) - expected()), 1e-5);
}

TEST(dropout_is_the_mask_of_its_seed) {
  const std::vector<Tensor> p = trainable(parameters());
  sightline::Projector projector(p, sightline::ProjectorOptions().trainable(true).dropout(0.3));
  CHECK(projector.is_training());
  Case c = make();
  c.hidden.requires_grad_();
  const double one = number(run(projector, c, 1));
  CHECK(one == number(run(projector, c, 1)));
  CHECK(one != number(run(projector, c, 2)));
  torch::manual_seed(5);
  const double drawn = number(run(projector, c)), next = number(run(projector, c));
  torch::manual_seed(5);
  CHECK(drawn == number(run(projector, c)));
  CHECK(drawn != next);

  run(projector, c, 1).backward();
  const auto f = [&] { return number(run(projector, c, 1)); };
  check_derivative(c.hidden, c.hidden.grad(), f);
  for (const Tensor& parameter : p) check_derivative(parameter, parameter.grad(), f);

  projector.train(false);
  const Tensor expected = reference(wide_all(p), wide(c.hidden), wide(c.teacher), wide(c.weight));
  CHECK_LE(std::abs(number(run(projector, c, 1)) - number(expected)), 1e-5);
}

TEST(any_strides_are_taken) {
  const std::vector<Tensor> p = parameters(), q = wide_all(p);
  std::vector<Tensor> turned = p;
  for (Tensor& tensor : turned) {
    if (tensor.dim() == 2) tensor = tensor.t().contiguous().t();
    if (tensor.dim() == 1) tensor = torch::stack({tensor, tensor}, 1).select(1, 0);
  }
  const sightline::Projector projector(turned);
  Case c = make();
  const Tensor expected = reference(q, wide(c.hidden), wide(c.teacher), wide(c.weight));
  c.hidden = c.hidden.transpose(0, 2).contiguous().transpose(0, 2).requires_grad_();
  c.teacher = torch::_neg_view(-c.teacher);  // contiguous, so that nothing copies it
  CHECK(c.teacher.is_neg());
  c.weight = torch::stack({c.weight, c.weight}, 2).select(2, 1);
  const Tensor loss = run(projector, c);
  CHECK_LE(std::abs(number(loss) - number(expected)), 1e-5);
  loss.backward();
  c.teacher = torch::randn({1, 1, Z}).expand({B, N, Z});  // strides 0
  CHECK_LE(std::abs(number(run(projector, c)) -
                    number(reference(q, wide(c.hidden), wide(c.teacher), wide(c.weight)))),
           1e-5);
}

TEST(the_graph_is_kept_where_asked_for) {
  const std::vector<Tensor> p = trainable(parameters());
  const sightline::Projector projector(p, sightline::ProjectorOptions().trainable(true));
  Case c = make();
  c.hidden.requires_grad_();
  c.teacher.requires_grad_();
  const Tensor loss = run(projector, c);
  loss.backward({}, /*retain_graph=*/true);
  const Tensor first = c.hidden.grad().clone();
  loss.backward();
  CHECK(torch::equal(c.hidden.grad(), 2 * first));
  CHECK(!c.teacher.grad().defined());
  CHECK_THROWS("Error: ", loss.backward());  // buffers are freed

  const auto gradients = torch::autograd::grad({run(projector, c)}, {c.hidden, p[0]}, {},
                                               std::nullopt, /*create_graph=*/true);
  CHECK(torch::equal(gradients[0], first));
  for (const Tensor& gradient : gradients) {
    CHECK_THROWS("NotImplementedError: alignment_loss: second derivative asked for",
                 gradient.pow(2).sum().backward());
  }
  const torch::NoGradGuard no_grad;
  CHECK(!run(projector, c).requires_grad());
}

TEST(weights_come_from_a_module) {
  namespace nn = torch::nn;
  nn::Sequential net(nn::LayerNorm(nn::LayerNormOptions({D}).eps(1e-3)), nn::Linear(D, P),
                     nn::SiLU(), nn::Dropout(0.25), nn::Linear(P, P), nn::SiLU(), nn::Dropout(0.25),
                     nn::Linear(P, Z));
  net->eval();
  const Case c = make();
  const Tensor z = net->forward(c.hidden.narrow(1, FIRST, N));
  const Tensor expected =
      -(torch::cosine_similarity(z, c.teacher, -1, 1e-12) * c.weight).sum() / c.weight.sum();
  const auto frozen = sightline::Projector::from_module(*net);
  CHECK_LE(std::abs(number(run(frozen, c)) - number(expected)), 1e-5);
  CHECK(!frozen.options().trainable() && frozen.options().dropout() == 0);
  auto trained = sightline::Projector::from_module(*net, {}, /*trainable=*/true);
  CHECK(trained.options().dropout() == 0.25 && trained.options().eps() == 1e-3);
  trained.train(false);
  run(trained, c).backward();
  for (const Tensor& parameter : net->parameters()) CHECK(parameter.grad().defined());
  net->to(torch::kBFloat16);
  CHECK(sightline::Projector::from_module(*net).options().bf16());
  CHECK(!sightline::Projector::from_module(*net, false).options().bf16());
}

// Biases, norm, widths and activation as the module has them.
TEST(other_modules_are_projectors_too) {
  namespace nn = torch::nn;
  const Case c = make();
  const auto check = [&](nn::Sequential net) {
    const Tensor z = net->forward(c.hidden.narrow(1, FIRST, N));
    const Tensor expected =
        -(torch::cosine_similarity(z, c.teacher, -1, 1e-12) * c.weight).sum() / c.weight.sum();
    CHECK_LE(std::abs(number(run(sightline::Projector::from_module(*net), c)) - number(expected)),
             1e-5);
    const auto trained = sightline::Projector::from_module(*net, {}, /*trainable=*/true);
    run(trained, c).backward();
    expected.backward();
    CHECK(trained.parameters().size() == net->parameters().size());
    std::vector<Tensor> both;  // ours and autograd's
    for (const Tensor& parameter : net->parameters()) both.push_back(parameter.grad().clone());
    net->zero_grad();
    run(trained, c).backward();
    for (size_t i = 0; i < both.size(); ++i) {
      const Tensor ours = net->parameters()[i].grad();
      CHECK_LE(number((2 * ours - both[i]).norm()), 1e-5 * number(both[i].norm()));
    }
  };
  check(nn::Sequential(nn::Linear(D, Z)));
  check(nn::Sequential(nn::Linear(D, P), nn::SiLU(), nn::Linear(P, 2 * P), nn::SiLU(),
                       nn::Linear(2 * P, Z)));  // REPA
  check(nn::Sequential(nn::LayerNorm(nn::LayerNormOptions({D}).elementwise_affine(false)),
                       nn::Linear(nn::LinearOptions(D, P).bias(false)), nn::GELU(),
                       nn::Linear(P, Z)));
  const auto refused = [](const char* message, nn::Sequential net) {
    CHECK_THROWS(message, sightline::Projector::from_module(*net, {}, true));
  };
  refused("ValueError: module: layers Linear Linear found, expected a LayerNorm or none",
          nn::Sequential(nn::Linear(D, P), nn::Linear(P, Z)));
  refused(
      "ValueError: module: activations of several kinds",
      nn::Sequential(nn::Linear(D, P), nn::SiLU(), nn::Linear(P, P), nn::ReLU(), nn::Linear(P, Z)));
  refused("ValueError: module: dropouts that differ",
          nn::Sequential(nn::Linear(D, P), nn::SiLU(), nn::Dropout(0.1), nn::Linear(P, P),
                         nn::SiLU(), nn::Dropout(0.2), nn::Linear(P, Z)));
}

TEST(other_losses_match_libtorchs) {
  const std::vector<Tensor> p = parameters();
  const sightline::Projector projector(p);
  const Case c = make();
  const Tensor h = c.hidden.narrow(1, FIRST, N);
  const Tensor n = torch::layer_norm(h, {D}, p[0], p[1], 1e-5);
  const Tensor u = torch::silu(torch::linear(n, p[2], p[3]));
  const Tensor z = torch::linear(torch::silu(torch::linear(u, p[4], p[5])), p[6], p[7]);
  const auto loss = [&](const sightline::AlignmentLossOptions& options) {
    return number(
        sightline::alignment_loss(projector, c.hidden, c.teacher, FIRST, {}, {}, options));
  };
  const auto close = [](double actual, const Tensor& expected) {
    CHECK_LE(std::abs(actual - number(expected)), 1e-5 * std::max(1.0, std::abs(number(expected))));
  };
  using Options = sightline::AlignmentLossOptions;
  close(loss(Options().kind(SL_LOSS_L2)), torch::mse_loss(z, c.teacher));
  close(loss(Options().kind(SL_LOSS_SMOOTH_L1).beta(0.5)),
        torch::smooth_l1_loss(z, c.teacher, torch::Reduction::Mean, 0.5));
  namespace F = torch::nn::functional;
  const auto unit = [](const Tensor& x) { return (x / x.norm(2, -1, true)).flatten(0, 1); };
  close(loss(Options().kind(SL_LOSS_INFONCE).temperature(0.3)),
        F::cross_entropy(torch::mm(unit(z), unit(c.teacher).t()) / 0.3, torch::arange(B * N)));
  const Tensor t = c.teacher;
  const Tensor spatial = (t - t.mean(1, true)) / (t.std(1, true, true) + 1e-6);
  close(loss(Options().teacher_norm(SL_TEACHER_SPATIAL)),
        -torch::cosine_similarity(z, spatial, -1, 1e-12).mean());
}

TEST(what_is_wrong_is_named) {
  const std::vector<Tensor> p = parameters();
  sightline::Projector projector(p);
  const Case c = make();
  const auto loss = [&](const Tensor& hidden, const Tensor& teacher, int64_t first = 0,
                        const Tensor& weight = {}) {
    sightline::alignment_loss(projector, hidden, teacher, first, weight);
  };
  CHECK_THROWS("ValueError: hidden: undefined", loss({}, c.teacher));
  CHECK_THROWS("ValueError: teacher: undefined", loss(c.hidden, {}));
  CHECK_THROWS("ValueError: hidden, teacher: 2 and 3 dimensions", loss(c.hidden[0], c.teacher));
  CHECK_THROWS("ValueError: hidden: dtype (code 2, bits 64",
               loss(c.hidden.to(torch::kDouble), c.teacher));
  CHECK_THROWS("ValueError: hidden: dtype (code 5, bits 64",
               loss(c.hidden.to(torch::kComplexFloat), c.teacher));
  CHECK_THROWS("ValueError: hidden: float16", loss(c.hidden.to(torch::kHalf), c.teacher));
  CHECK_THROWS("ValueError: hidden: ", loss(c.hidden.to(torch::kMeta), c.teacher));
  CHECK_THROWS("ValueError: teacher: shape", loss(c.hidden, torch::randn({B, N, Z + 1})));
  CHECK_THROWS("ValueError: first_token: 4, expected 0 to 3: hidden has 7 tokens, teacher 4",
               loss(c.hidden, c.teacher, 4));
  CHECK_THROWS("ValueError: first_token: -1", loss(c.hidden, c.teacher, -1));
  CHECK_THROWS("ValueError: token_weight: ",
               loss(c.hidden, c.teacher, 0, c.weight.to(torch::kDouble)));
  CHECK_THROWS("ValueError: parameters: 1 tensors, of which 1 fit", sightline::Projector({p[0]}));
  std::vector<Tensor> hole = p;
  hole[3] = Tensor();
  CHECK_THROWS("ValueError: parameters[3]: undefined", sightline::Projector{hole});
  hole[3] = torch::randn(P + 1);
  CHECK_THROWS("ValueError: weights.layers[0].bias: shape", sightline::Projector{hole});
  using Options = sightline::ProjectorOptions;
  CHECK_THROWS("ValueError: desc.dropout: 0.1, expected 0 for a frozen projector",
               sightline::Projector(p, Options().dropout(0.1)));
  CHECK_THROWS("ValueError: desc.norm_eps: ", sightline::Projector(p, Options().eps(0)));
  CHECK_THROWS("ValueError: train: true, expected false", projector.train());
  projector.train(false);
}

}  // namespace

TEST_MAIN()
