// AdamW's numbers: bit for bit against a restatement of torch's order of operations (adamw_case.h),
// and against fp64.
#include "adamw_case.h"
#include "cpu/elementwise/elementwise.h"
#include "cpu/isa.h"
#include "isa_test.h"

using namespace abi;

TEST(thousand_steps_match_torch_order_bit_for_bit) {
  Random random(1);
  Optimizer optimizer;
  for (int64_t size : {1, 13, 519}) optimizer.add({size}, random);
  optimizer.create();
  for (int t = 1; t <= 1000; ++t) {
    fill_gradients(optimizer, random);
    CHECK_EQ(optimizer.step({kGroup}), SL_OK);
    for (auto& p : optimizer.parameters) p->restate(kGroup, t, 1.f);
  }
  CHECK_EQ(optimizer.differing(), 0);
}

// From the same numbers, a remainder and a master take the same way for 1,000 steps.
TEST(a_remainder_is_a_master) {
  Random random(14);
  Optimizer with_master, with_remainder;
  for (DType grad : kBothDTypes) {
    for (int64_t size : {1, 13, 519}) {
      Parameter& a = with_master.add({size}, random, DType::kBFloat16, grad, Kept::kMaster);
      Parameter& b = with_remainder.add({size}, random, DType::kBFloat16, grad, Kept::kRemainder);
      for (int64_t i = 0; i < size; ++i) a.master.set(i, b.p[static_cast<size_t>(i)]);
    }
  }
  with_master.create();
  with_remainder.create();
  int64_t differing = 0, away = 0;
  for (int t = 1; t <= 1000; ++t) {
    fill_gradients(with_master, random);
    for (size_t j = 0; j < with_master.parameters.size(); ++j) {
      Tensor &from = with_master.parameters[j]->grad, &to = with_remainder.parameters[j]->grad;
      for (int64_t i = 0; i < from.size(); ++i) to.set(i, from.at(i));
    }
    CHECK_EQ(with_master.step({kGroup}), SL_OK);
    CHECK_EQ(with_remainder.step({kGroup}), SL_OK);
    for (size_t j = 0; j < with_master.parameters.size(); ++j) {
      Parameter &a = *with_master.parameters[j], &b = *with_remainder.parameters[j];
      for (int64_t i = 0; i < a.param.size(); ++i) {
        differing += bits_of(static_cast<float>(a.master.at(i))) != joined(b.param, b.remainder, i);
        differing += b.param.at(i) != rounded_away(static_cast<float>(a.master.at(i)));
        away += a.param.at(i) != b.param.at(i);  // ties, to even in the one, away in the other
      }
      differing += a.exp_avg.bytes() != b.exp_avg.bytes();
      CHECK(b.remainder.padding_is_intact());
    }
  }
  CHECK_EQ(differing, 0);
  CHECK_LE(away, 60);  // about one in 2^17 of a million
}

TEST(a_remainder_keeps_the_ends_of_its_range) {
  const auto value = [](uint32_t bits) {
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
  };
  // Masters kept by a step of rate 0: largest, ties, signed zeros, smallest, infinity.
  const std::vector<uint32_t> masters = {0x7f7fffff, 0xff7fffff, 0x3f808000, 0x3f818000,
                                         0xbf808000, 0x3f807fff, 0,          0x80000000,
                                         1,          0x807fffff, 0x7f800000, 0xff800000};
  Random random(15);
  Optimizer optimizer;
  Parameter& p = optimizer.add({static_cast<int64_t>(masters.size()) + 1}, random, DType::kBFloat16,
                               DType::kFloat32, Kept::kRemainder);
  for (size_t i = 0; i < masters.size(); ++i) {
    const auto e = static_cast<int64_t>(i);
    const auto high = static_cast<uint16_t>((masters[i] >> 16) + (masters[i] >> 15 & 1));
    p.param.set(e, from_bf16(high));
    p.remainder.set(e, static_cast<int16_t>(masters[i]));
    CHECK_EQ(joined(p.param, p.remainder, e), masters[i]);
    p.grad.set(e, 1);
  }
  // A NaN whose rounding would carry into the sign.
  p.grad.set(p.grad.size() - 1, value(0x7fffffff));
  optimizer.create();
  sl_adamw_group still = kGroup;
  still.lr = 0;
  CHECK_EQ(optimizer.step({still}), SL_OK);
  for (size_t i = 0; i < masters.size(); ++i) {
    CHECK_EQ(joined(p.param, p.remainder, static_cast<int64_t>(i)), masters[i]);
  }
  CHECK(std::isnan(p.param.at(p.param.size() - 1)));
}

TEST(rates_come_from_a_tensor_where_given) {
  Random random(16);
  Optimizer optimizer;
  add_parameters(optimizer, random);
  optimizer.create();
  Tensor lr({2});
  std::vector<sl_adamw_group> groups = {kGroup, {0.5, 0.25, 0.9, 1e-6, 0.1}};
  for (int t = 1; t <= 3; ++t) {
    fill_gradients(optimizer, random);
    sl_adamw_step_args args{};
    args.lr = lr.get();
    auto followed = groups;
    for (int g = 0; g < 2; ++g) {
      lr.set(g, 1e-2 / (t + g));
      followed[g].lr = lr.at(g);
    }
    for (auto& p : optimizer.parameters) p->restate(followed[p->group], t, 1.f);
    CHECK_EQ(optimizer.step(groups, args), SL_OK);
    CHECK_EQ(optimizer.differing(), 0);
  }
}

TEST(all_shapes_dtypes_and_groups_match_bit_for_bit) {
  Random random(2);
  Optimizer optimizer;
  add_parameters(optimizer, random);
  optimizer.create();
  // beta1 <= 0.5 takes lerp's other form; beta1 = 0 and weight_decay = 0 are ends of the ranges.
  const std::vector<sl_adamw_group> groups = {kGroup, {3e-3, 0.25, 0.9, 1e-6, 0.}};
  for (int t = 1; t <= 5; ++t) {
    fill_gradients(optimizer, random);
    CHECK_EQ(optimizer.step(groups), SL_OK);
    for (auto& p : optimizer.parameters) p->restate(groups[p->group], t, 1.f);
  }
  CHECK_EQ(optimizer.differing(), 0);
  for (auto& p : optimizer.parameters) {
    CHECK(p->param.padding_is_intact() && p->exp_avg.padding_is_intact());
  }
}

TEST(steps_match_the_formula_in_fp64) {
  Random random(3);
  Optimizer optimizer;
  Parameter& p = optimizer.add({211}, random);
  std::vector<double> x = p.param.values(), m(x.size()), v(x.size());
  optimizer.create();
  for (int t = 1; t <= 50; ++t) {
    fill_gradients(optimizer, random);
    const std::vector<double> g = p.grad.values();
    CHECK_EQ(optimizer.step({kGroup}), SL_OK);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] -= kGroup.lr * kGroup.weight_decay * x[i];
      m[i] = kGroup.beta1 * m[i] + (1 - kGroup.beta1) * g[i];
      v[i] = kGroup.beta2 * v[i] + (1 - kGroup.beta2) * g[i] * g[i];
      const double mean = m[i] / (1 - std::pow(kGroup.beta1, t));
      const double square = v[i] / (1 - std::pow(kGroup.beta2, t));
      x[i] -= kGroup.lr * mean / (std::sqrt(square) + kGroup.eps);
    }
  }
  // Four roundings of 2^-24 a step add up to 1.2e-5 at worst.
  CHECK_LE(relative_error(p.param.values(), x), 1e-5);
}

TEST(same_bits_at_any_thread_count) {
  std::vector<std::vector<uint8_t>> expected;
  for (int threads : {1, 2, 3, 7}) {
    Random random(4);
    Optimizer optimizer;
    add_parameters(optimizer, random);
    optimizer.create();
    Tensor report({4});
    sl_adamw_step_args args{};
    args.max_grad_norm = 0.5;
    args.skip_nonfinite = 1;
    args.report = report.get();
    for (int t = 0; t < 3; ++t) {
      fill_gradients(optimizer, random);
      CHECK_EQ(optimizer.step({kGroup, kGroup}, args, threads), SL_OK);
    }
    std::vector<std::vector<uint8_t>> bytes{report.bytes()};
    for (auto& p : optimizer.parameters) {
      bytes.push_back(p->param.bytes());
      bytes.push_back(p->exp_avg_sq.bytes());
    }
    if (threads == 1) expected = bytes;
    CHECK(bytes == expected);
  }
}

TEST(this_isa_path_has_the_bits_of_the_generic_one) {
  using namespace sightline::cpu;
  const ElementwiseKernels& mine = elementwise_kernels(kernels()->isa);
  const ElementwiseKernels& generic = elementwise_kernels(Isa::kGeneric);
  Random random(5);
  for (int64_t n : {1, 7, 8, 9, 511, 513, 4099}) {
    for (DType dtype : kBothDTypes) {
      Tensor grad({n}, dtype);
      grad.fill(random, 100.);
      const GradStatistics a = mine.grad_statistics(grad.data(), dtype, n);
      const GradStatistics b = generic.grad_statistics(grad.data(), dtype, n);
      CHECK_EQ(a.sum_of_squares, b.sum_of_squares);
      CHECK_EQ(a.nonfinite, b.nonfinite);
      double sum = 0;
      for (double g : grad.values()) sum += g * g;
      CHECK_LE(std::abs(a.sum_of_squares - sum), 1e-12 * sum);
    }
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
