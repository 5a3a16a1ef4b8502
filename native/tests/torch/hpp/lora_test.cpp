// lora_linear, lora_linears, lora_delta, merging and LoraLinear.
#include "check.h"

namespace {

constexpr int64_t K = 31, N = 65, R = 5;

struct Linear {
  Tensor weight, bias, a, b;
};

Linear make(torch::ScalarType dtype = torch::kFloat, int64_t n = N, int64_t r = R,
            torch::ScalarType adapter = torch::kFloat) {
  return {(torch::randn({n, K}) / 6).to(dtype), torch::randn(n).to(dtype),
          torch::randn({r, K}).to(adapter), torch::randn({n, r}).to(adapter)};
}

Linear wide(const Linear& l) {
  return {::wide(l.weight), ::wide(l.bias), ::wide(l.a), ::wide(l.b)};
}

// The textbook; `mask` multiplies the adapter's input.
Tensor reference(const Tensor& x, const Linear& l, double scale, const Tensor& mask = {}) {
  const Tensor dropped = mask.defined() ? x * mask : x;
  const Tensor y = x.matmul(l.weight.t()) + scale * dropped.matmul(l.a.t()).matmul(l.b.t());
  return l.bias.defined() ? y + l.bias : y;
}

Tensor run(const Tensor& x, const Linear& l, double scale, double dropout = 0,
           std::optional<int64_t> seed = {}) {
  return sightline::lora_linear(x, l.weight, l.bias, l.a, l.b, scale, dropout, seed);
}

TEST(whoever_requires_a_gradient_gets_it) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    for (int bits = 0; bits < 32; ++bits) {
      Linear l = make(dtype);
      Tensor x = torch::randn({2, 3, K}).to(dtype);
      Tensor* const tensors[] = {&x, &l.weight, &l.bias, &l.a, &l.b};
      for (int i = 0; i < 5; ++i) tensors[i]->requires_grad_(bits >> i & 1);
      const Tensor x64 = ::wide(x), upstream = torch::randn({2, 3, N}).to(dtype);
      const Linear l64 = wide(l);
      const Tensor y = run(x, l, 1.5), y64 = reference(x64, l64, 1.5);
      CHECK_LE(relative(y, y64), tolerance_of(dtype));
      CHECK(y.scalar_type() == dtype && y.requires_grad() == (bits != 0));
      if (bits == 0) continue;
      y.backward(upstream);
      y64.backward(upstream.to(torch::kDouble));
      const Tensor* const wides[] = {&x64, &l64.weight, &l64.bias, &l64.a, &l64.b};
      for (int i = 0; i < 5; ++i) {
        CHECK(tensors[i]->grad().defined() == (bits >> i & 1));
        if (bits >> i & 1) {
          CHECK_LE(relative(tensors[i]->grad(), wides[i]->grad()), tolerance_of(dtype));
          CHECK(tensors[i]->grad().scalar_type() == tensors[i]->scalar_type());
        }
      }
    }
  }
}

TEST(x_may_have_any_shape) {
  const Linear l = make();
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {K}, {7, K}, {2, 3, K}, {2, 3, 2, K}, {2, 1, 3, 2, K}, {0, K}}) {
    const Tensor x = torch::randn(shape).requires_grad_(), x64 = ::wide(x);
    const Tensor y = run(x, l, 1.5), y64 = reference(x64, wide(l), 1.5);
    CHECK_LE(relative(y, y64), 1e-5);
    y.sum().backward();  // an expanded gradient
    y64.sum().backward();
    CHECK_LE(relative(x.grad(), x64.grad()), 1e-5);
  }
}

TEST(any_strides_are_taken) {
  Linear l = make();
  const Linear l64 = wide(l);
  const Tensor values = torch::randn({3, 2, K}), upstream = torch::randn({N, 3, 2});
  l.weight = l.weight.t().contiguous().t();
  l.bias = torch::stack({l.bias, l.bias}, 1).select(1, 1);
  l.a = l.a.t().contiguous().t().requires_grad_();
  l.b = torch::_neg_view(-l.b).detach().requires_grad_();  // contiguous, so that nothing copies it
  for (const Tensor& x :
       {values.transpose(0, 2).contiguous().transpose(0, 2),
        values.transpose(0, 1).contiguous().transpose(0, 1),
        torch::cat({values, values}, 2).narrow(2, 0, K), values[0].expand({3, 2, K})}) {
    const Tensor leaf = x.detach().requires_grad_(), x64 = ::wide(x.contiguous()).requires_grad_();
    Tensor a64 = l64.a.clone().requires_grad_(), b64 = l64.b.clone().requires_grad_();
    const Tensor y = run(leaf, l, 1.5);
    const Tensor y64 = reference(x64, {l64.weight, l64.bias, a64, b64}, 1.5);
    CHECK_LE(relative(y, y64), 1e-5);
    l.a.mutable_grad() = l.b.mutable_grad() = Tensor();
    y.permute({2, 0, 1}).backward(upstream);  // dy has strides of its own
    y64.permute({2, 0, 1}).backward(upstream.to(torch::kDouble));
    CHECK_LE(relative(leaf.grad(), x64.grad()), 1e-5);
    CHECK_LE(relative(l.a.grad(), a64.grad()), 1e-5);
    CHECK_LE(relative(l.b.grad(), b64.grad()), 1e-5);
  }
}

TEST(dropout_is_the_mask_of_its_seed) {
  const double p = 0.3;
  // Through identities the mask itself comes out: 0 or 1 / (1 - p).
  const Linear identity{torch::zeros({K, K}), {}, torch::eye(K), torch::eye(K)};
  const auto mask_of = [&](int64_t seed) {
    return run(torch::ones({40, K}), identity, 1, p, seed);
  };
  const Tensor mask = mask_of(7);
  CHECK(torch::equal(mask, mask_of(7)) && !torch::equal(mask, mask_of(8)));
  const Tensor kept = mask > 0;
  CHECK_LE((mask.masked_select(kept) - 1 / (1 - p)).abs().max().item<double>(), 1e-6);
  // 1240 draws: the deviation is 0.013.
  CHECK_LE(std::abs(kept.to(torch::kFloat).mean().item<double>() - (1 - p)), 0.052);

  Linear l = make();
  const Tensor x = torch::randn({40, K}).requires_grad_(), x64 = ::wide(x);
  l.a.requires_grad_();
  l.b.requires_grad_();
  const Linear l64 = wide(l);
  const Tensor upstream = torch::randn({40, N});
  const Tensor y = run(x, l, 1.5, p, 7), y64 = reference(x64, l64, 1.5, ::wide(mask));
  CHECK_LE(relative(y, y64), 1e-5);
  y.backward(upstream);
  y64.backward(upstream.to(torch::kDouble));
  CHECK_LE(relative(x.grad(), x64.grad()), 1e-5);
  CHECK_LE(relative(l.a.grad(), l64.a.grad()), 1e-5);
  CHECK_LE(relative(l.b.grad(), l64.b.grad()), 1e-5);
  const auto f = [&] { return (run(x, l, 1.5, p, 7) * upstream).sum().item<double>(); };
  for (const Tensor& tensor : {x, l.a, l.b}) check_derivative(tensor, tensor.grad(), f);

  torch::manual_seed(3);
  const Tensor drawn = run(x, l, 1.5, p), next = run(x, l, 1.5, p);
  torch::manual_seed(3);
  CHECK(torch::equal(drawn, run(x, l, 1.5, p)) && !torch::equal(drawn, next));
}

TEST(linears_of_one_input_match_each_alone) {
  const std::vector<double> scales{0.5, 2, 1};
  for (int used = 1; used < 8; ++used) {  // which outputs a loss is made of
    const Tensor x = torch::randn({2, 3, K}).requires_grad_(), x64 = ::wide(x);
    std::vector<Linear> l{make(torch::kFloat, 13, 2), make(torch::kFloat, 65, 7), make()}, l64;
    l[1].bias = Tensor();
    l[2].bias.requires_grad_();
    l[2].weight.requires_grad_();
    std::vector<Tensor> w, bias, a, b;
    for (size_t i = 0; i < 3; ++i) {
      l[i].a.requires_grad_(i != 0);
      l[i].b.requires_grad_();
      l64.push_back(wide(l[i]));
      w.push_back(l[i].weight);
      bias.push_back(l[i].bias);
      a.push_back(l[i].a);
      b.push_back(l[i].b);
    }
    const std::vector<Tensor> ys = sightline::lora_linears(x, w, bias, a, b, scales);
    Tensor sum = torch::zeros({}), sum64 = torch::zeros({}, torch::kDouble);
    for (size_t i = 0; i < 3; ++i) {
      const Tensor y64 = reference(x64, l64[i], scales[i]);
      CHECK_LE(relative(ys[i], y64), 1e-5);
      if (!(used >> i & 1)) continue;
      sum = sum + ys[i].pow(2).sum();
      sum64 = sum64 + y64.pow(2).sum();
    }
    sum.backward();
    sum64.backward();
    CHECK_LE(relative(x.grad(), x64.grad()), 1e-5);
    for (size_t i = 0; i < 3; ++i) {
      const auto compare = [&](const Tensor& found, const Tensor& expected) {
        CHECK(found.grad().defined() == expected.grad().defined());
        if (expected.grad().defined()) CHECK_LE(relative(found.grad(), expected.grad()), 1e-5);
      };
      CHECK(l[i].b.grad().defined() == (used >> i & 1));
      compare(l[i].a, l64[i].a);
      compare(l[i].b, l64[i].b);
      compare(l[i].weight, l64[i].weight);
      if (i != 1) compare(l[i].bias, l64[i].bias);
    }
  }
  // A mask for each linear, or one for all.
  const Tensor x = torch::randn({6, K});
  const Linear l = make();
  const std::vector<Tensor> w{l.weight, l.weight}, bias{l.bias, l.bias}, a{l.a, l.a}, b{l.b, l.b};
  auto ys = sightline::lora_linears(x, w, bias, a, b, {1, 1}, 0.5, {4, 4});
  CHECK(torch::equal(ys[0], ys[1]) && torch::equal(ys[0], run(x, l, 1, 0.5, 4)));
  ys = sightline::lora_linears(x, w, bias, a, b, {1, 1}, 0.5, {4, 5});
  CHECK(!torch::equal(ys[0], ys[1]) && torch::equal(ys[1], run(x, l, 1, 0.5, 5)));
  ys = sightline::lora_linears(x, w, bias, a, b, {1, 1}, 0.5);
  CHECK(!torch::equal(ys[0], ys[1]));
  ys = sightline::lora_linears(x.view({2, 1, 3, 1, K}), w, bias, a, b, {1, 1});
  CHECK(ys[0].sizes() == at::IntArrayRef({2, 1, 3, 1, N}));
}

TEST(a_delta_is_added_to_a_base_output) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    for (const std::vector<int64_t>& leading :
         std::vector<std::vector<int64_t>>{{6}, {2, 3}, {2, 1, 3}}) {
      std::vector<int64_t> x_shape = leading, y_shape = leading;
      x_shape.push_back(K);
      y_shape.push_back(N);
      const Linear l = make();
      const Tensor y = torch::randn(y_shape).to(dtype).requires_grad_();
      const Tensor x = torch::randn(x_shape).to(dtype).requires_grad_();
      const Tensor a = l.a.requires_grad_(), b = l.b.requires_grad_();
      const Tensor y64 = ::wide(y), x64 = ::wide(x), a64 = ::wide(a), b64 = ::wide(b);
      const Tensor kept = y.detach().clone();
      const Tensor out = sightline::lora_delta(y, x, a, b, 0.5);
      const Tensor out64 = y64 + 0.5 * x64.matmul(a64.t()).matmul(b64.t());
      CHECK(torch::equal(y.detach(), kept));
      CHECK_LE(relative(out, out64), tolerance_of(dtype));
      const Tensor upstream = torch::randn(y_shape).to(dtype);
      out.backward(upstream);
      out64.backward(upstream.to(torch::kDouble));
      CHECK(torch::equal(y.grad(), upstream));
      CHECK_LE(relative(x.grad(), x64.grad()), tolerance_of(dtype));
      CHECK_LE(relative(a.grad(), a64.grad()), tolerance_of(dtype));
      CHECK_LE(relative(b.grad(), b64.grad()), tolerance_of(dtype));
    }
  }
  Linear l = make();
  const Tensor y = torch::randn({4, N}), x = torch::randn({4, K});
  l.b.requires_grad_();
  const Tensor out = sightline::lora_delta(y, x, l.a, l.b, 0.5, 0.4, 9);
  CHECK_LE(relative(out, y + run(x, {torch::zeros({N, K}), {}, l.a, l.b}, 0.5, 0.4, 9)), 1e-6);
  out.sum().backward();
  CHECK(l.b.grad().defined());
}

TEST(autocast_casts_as_torchs_linear) {
  const Linear l = make();
  l.a.requires_grad_();
  const Tensor x = torch::randn({4, K}).requires_grad_(), y = torch::randn({4, N});
  at::autocast::set_autocast_enabled(torch::kCPU, true);
  at::autocast::set_autocast_dtype(torch::kCPU, torch::kBFloat16);
  const Tensor out = run(x, l, 1.5), delta = sightline::lora_delta(y, x, l.a, l.b, 1.5);
  at::autocast::set_autocast_enabled(torch::kCPU, false);
  CHECK(out.scalar_type() == torch::kBFloat16 && delta.scalar_type() == torch::kBFloat16);
  CHECK_LE(relative(out, reference(::wide(x), wide(l), 1.5)), 8e-3);
  out.sum().backward();
  CHECK(x.grad().scalar_type() == torch::kFloat && l.a.grad().scalar_type() == torch::kFloat);
  CHECK(run(x, l, 1.5).scalar_type() == torch::kFloat);
}

TEST(the_graph_is_kept_where_asked_for) {
  Linear l = make();
  const Tensor x = torch::randn({4, K}).requires_grad_();
  l.a.requires_grad_();
  Tensor y = run(x, l, 1.5);
  y.sum().backward({}, /*retain_graph=*/true);
  const Tensor first = x.grad().clone();
  y.sum().backward();
  CHECK(torch::equal(x.grad(), 2 * first));
  const auto only = torch::autograd::grad({run(x, l, 1.5).sum()}, {l.a});
  CHECK(torch::equal(only[0] * 2, l.a.grad()));

  const auto gradients = torch::autograd::grad({run(x, l, 1.5).sum()}, {x, l.a}, {}, std::nullopt,
                                               /*create_graph=*/true);
  CHECK(torch::equal(gradients[0], first));
  for (const Tensor& gradient : gradients) {
    CHECK_THROWS("NotImplementedError: lora_linear: second derivative asked for",
                 gradient.pow(2).sum().backward());
  }
  // What the backward pass needs was changed in between.
  const std::string changed = "modified by an inplace operation";
  y = run(x, l, 1.5);
  sightline::lora_merge_(l.weight, l.a, l.b, 1.5);
  CHECK_THROWS(changed, y.sum().backward());
  for (const Tensor& tensor : {x, l.a, l.b}) {
    y = run(x, l, 1.5);
    {
      const torch::NoGradGuard no_grad;
      tensor.mul_(2);
    }
    CHECK_THROWS(changed, y.sum().backward());
  }
}

TEST(merging_and_unmerging_restore) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const Linear l = make(dtype);
    const Tensor weight = l.weight.clone();
    const auto version = weight._version();
    sightline::lora_merge_(weight, l.a, l.b, 0.5);
    CHECK(weight._version() > version);
    CHECK_LE(relative(weight, ::wide(l.weight) + 0.5 * ::wide(l.b).matmul(::wide(l.a))),
             dtype == torch::kFloat ? 1e-6 : 4e-3);
    const Tensor merged = weight.clone();
    sightline::lora_unmerge_(weight, l.a, l.b, 0.5);
    // 2 ulp in fp32, 1 in bf16, of the larger of |weight| and |weight + delta|.
    const Tensor larger = torch::maximum(l.weight.abs(), merged.abs()).to(torch::kFloat);
    const double ulp = dtype == torch::kFloat ? 2 * std::ldexp(1., -23) : std::ldexp(1., -7);
    CHECK(((weight - l.weight).abs().to(torch::kFloat) <= ulp * larger).all().item<bool>());
  }
  const Linear l = make(torch::kBFloat16);
  std::vector<Tensor> stochastic;
  for (const int64_t seed : {1, 1, 2}) {
    stochastic.push_back(l.weight.clone());
    sightline::lora_merge_(stochastic.back(), l.a, l.b, 0.01, /*stochastic=*/true, seed);
  }
  CHECK(torch::equal(stochastic[0], stochastic[1]) && !torch::equal(stochastic[0], stochastic[2]));
  l.weight.requires_grad_();
  CHECK_THROWS("ValueError: lora_merge_: weight requires a gradient",
               sightline::lora_merge_(l.weight, l.a, l.b, 1));
  CHECK_THROWS("ValueError: b: shape", sightline::lora_merge_(torch::randn({N, K}), l.a, l.a, 1));
  CHECK_THROWS("ValueError: weight: undefined", sightline::lora_unmerge_({}, l.a, l.b, 1));
}

TEST(the_module_has_pefts_parameters) {
  torch::manual_seed(2);
  torch::nn::Linear base(K, N);
  sightline::LoraLinear layer(base, sightline::LoraLinearOptions(4, 8).dropout(0.5));
  CHECK(layer->scale() == 2 && !base->weight.requires_grad() && !base->bias.requires_grad());
  std::string names;
  for (const auto& item : layer->named_parameters()) names += item.key() + " ";
  CHECK_EQ(names, "lora_A lora_B base.weight base.bias ");
  const Tensor x = torch::randn({6, K});
  CHECK_LE(relative(layer(x), base(x)), 1e-6);  // lora_B is 0
  CHECK_LE(layer->lora_A.abs().max().item<double>(), 1 / std::sqrt(double{K}));
  CHECK(layer->lora_A.abs().max().item<double>() > 0.9 / std::sqrt(double{K}));
  {
    const torch::NoGradGuard no_grad;
    layer->lora_B.normal_();
  }
  CHECK(!torch::equal(layer(x), layer(x)));
  layer->eval();
  const Tensor y = layer(x);
  CHECK_LE(
      relative(y, reference(::wide(x),
                            wide({base->weight, base->bias, layer->lora_A, layer->lora_B}), 2)),
      1e-5);
  layer->merge();
  CHECK(layer->is_merged());
  CHECK_LE(relative(layer(x), y), 1e-5);
  CHECK_THROWS("ValueError: merge: the adapter is merged", layer->merge());
  layer->unmerge();
  CHECK_LE(relative(layer(x), y), 1e-5);
  CHECK_THROWS("ValueError: unmerge: the adapter is not merged", layer->unmerge());
  {
    const torch::NoGradGuard no_grad;
    const Tensor weight = base->weight.clone(), b = layer->lora_B.clone();
    const Tensor a = layer->lora_A.clone();
    layer->lora_A.fill_(1);
    layer->lora_B.fill_(3e38);
    CHECK_THROWS("ValueError: merge: a sum weight + scale B A is not finite", layer->merge());
    CHECK(!layer->is_merged() && torch::equal(base->weight, weight));
    layer->lora_A.copy_(a);
    layer->lora_B.copy_(b);
  }
  layer(x).sum().backward();
  CHECK(layer->lora_A.grad().defined() && layer->lora_B.grad().defined());

  using Options = sightline::LoraLinearOptions;
  sightline::LoraLinear mixed(torch::nn::Linear(torch::nn::LinearOptions(K, N).bias(false)),
                              Options(4, 8).dtype(torch::kBFloat16));
  CHECK(mixed->lora_A.scalar_type() == torch::kBFloat16 && mixed(x).scalar_type() == torch::kFloat);
  CHECK_THROWS("ValueError: rank: 0, expected at least 1",
               sightline::LoraLinear(base, Options(0, 8)));
  CHECK_THROWS("ValueError: dropout: 1", sightline::LoraLinear(base, Options(4, 8).dropout(1)));
}

TEST(what_is_wrong_is_named) {
  const Linear l = make();
  const Tensor x = torch::randn({4, K});
  const Tensor none;
  using sightline::lora_linear;
  CHECK_THROWS("ValueError: x: undefined", run(none, l, 1));
  CHECK_THROWS("ValueError: x: 0 dimensions", run(torch::randn({}), l, 1));
  CHECK_THROWS("ValueError: linears[0].weight: undefined", run(x, {none, none, l.a, l.b}, 1));
  CHECK_THROWS("ValueError: linears[0].a: 1 dimensions", run(x, {l.weight, none, l.a[0], l.b}, 1));
  CHECK_THROWS("ValueError: linears[0].b: undefined", run(x, {l.weight, none, l.a, none}, 1));
  CHECK_THROWS("ValueError: linears[0].a: shape [5,32]",
               run(x, {l.weight, none, torch::randn({5, K + 1}), l.b}, 1));
  CHECK_THROWS("ValueError: linears[0].bias: shape",
               run(x, {l.weight, torch::randn(3), l.a, l.b}, 1));
  CHECK_THROWS("ValueError: linears[0].weight: dtype (code 0, bits 8",
               run(x, {l.weight.to(torch::kChar), none, l.a, l.b}, 1));
  CHECK_THROWS("ValueError: x: dtype (code 0, bits 64", run(x.to(torch::kLong), l, 1));
  CHECK_THROWS("ValueError: x: dtype (code 1, bits 8", run(x.to(torch::kByte), l, 1));
  CHECK_THROWS("ValueError: x: dtype (code 6, bits 8", run(x.to(torch::kBool), l, 1));
  CHECK_THROWS("NotImplementedError: ", run(x.to(torch::kHalf), l, 1));
  CHECK_THROWS("ValueError: dropout: 1", run(x, l, 1, 1.0));
  CHECK_THROWS("ValueError: linears[0].scale: ", run(x, l, NAN));
  CHECK_THROWS("ValueError: b: 0 items, expected 1, one for each item of a",
               sightline::lora_linears(x, {l.weight}, {none}, {l.a}, {}, {1}));
  CHECK_THROWS("ValueError: seeds: 2 items, expected 1",
               sightline::lora_linears(x, {l.weight}, {none}, {l.a}, {l.b}, {1}, 0, {1, 2}));
  CHECK_THROWS("ValueError: ", sightline::lora_linears(x, {}, {}, {}, {}, {}));
  CHECK_THROWS("ValueError: y: undefined", sightline::lora_delta(none, x, l.a, l.b, 1));
  CHECK_THROWS("ValueError: y: leading dimensions [5, 65], expected those of x [4, 31]",
               sightline::lora_delta(torch::randn({5, N}), x, l.a, l.b, 1));
  CHECK_THROWS("ValueError: linears[0].y: ",
               sightline::lora_delta(torch::randn({4, N + 1}), x, l.a, l.b, 1));
}

}  // namespace

TEST_MAIN()
