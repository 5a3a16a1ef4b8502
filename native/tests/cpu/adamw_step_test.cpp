// What a step of AdamW does besides its numbers: clipping, the report, skipping, zeroing, step
// counts.
#include <malloc.h>

#include "adamw_case.h"
#include "isa_test.h"

using namespace abi;

TEST(clipping_scales_as_torch) {
  for (double grad_scale : {1., 0.25, -2.}) {
    for (double max_norm : {1e-3, 1., 1e6}) {
      Random random(6);
      Optimizer optimizer;
      add_parameters(optimizer, random);
      optimizer.create();
      fill_gradients(optimizer, random);
      const double norm = std::abs(grad_scale) * std::sqrt(optimizer.sum_of_squares());
      const double factor = std::min(1., max_norm / (norm + 1e-6));
      Tensor report({4});
      sl_adamw_step_args args{};
      args.grad_scale = grad_scale;
      args.max_grad_norm = max_norm;
      args.report = report.get();
      CHECK_EQ(optimizer.step({kGroup, kGroup}, args), SL_OK);
      CHECK_LE(std::abs(report.at(0) - norm), 1e-6 * norm);
      CHECK_LE(std::abs(report.at(1) - factor), 1e-6 * factor);
      CHECK_EQ(report.at(2), 0.);
      CHECK_EQ(report.at(3), 0.);
      for (auto& p : optimizer.parameters) {
        p->restate(kGroup, 1, static_cast<float>(grad_scale * factor));
        double worst = 0;
        for (size_t i = 0; i < p->p.size(); ++i) {
          const double m = p->exp_avg.at(static_cast<int64_t>(i));
          worst = std::max(worst, std::abs(m - p->m[i]) - 1e-6 * std::abs(p->m[i]));
        }
        CHECK_LE(worst, 0.);
      }
    }
  }
}

TEST(report_without_clipping_is_measured_in_the_same_pass) {
  Random random(7);
  Optimizer optimizer;
  add_parameters(optimizer, random);
  optimizer.create();
  fill_gradients(optimizer, random);
  optimizer.parameters[3]->grad.set(0, INFINITY);
  optimizer.parameters.back()->grad.set(5, NAN);
  Tensor report({4});
  sl_adamw_step_args args{};
  args.report = report.get();
  CHECK_EQ(optimizer.step({kGroup, kGroup}, args), SL_OK);
  CHECK(std::isnan(report.at(0)));
  CHECK_EQ(report.at(1), 1.);
  CHECK_EQ(report.at(2), 2.);
}

TEST(nonfinite_gradients_skip_everything_but_zeroing) {
  for (double bad :
       {static_cast<double>(INFINITY), -static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    for (int zero : {0, 1}) {
      Random random(8);
      Optimizer optimizer;
      add_parameters(optimizer, random);
      optimizer.create();
      fill_gradients(optimizer, random);
      Tensor& grad = optimizer.parameters[20]->grad;
      grad.set(grad.size() - 1, bad);
      std::vector<std::vector<uint8_t>> before;
      for (auto& p : optimizer.parameters) {
        for (Tensor* t : {&p->param, &p->exp_avg, &p->exp_avg_sq, &p->master, &p->remainder}) {
          before.push_back(t->bytes());
        }
      }
      Tensor report({4});
      sl_adamw_step_args args{};
      args.skip_nonfinite = 1;
      args.max_grad_norm = 1.;
      args.zero_grads = zero;
      args.report = report.get();
      CHECK_EQ(optimizer.step({kGroup, kGroup}, args), SL_OK);
      CHECK_EQ(report.at(1), 1.);
      CHECK_EQ(report.at(2), 1.);
      CHECK_EQ(report.at(3), 1.);
      size_t i = 0;
      for (auto& p : optimizer.parameters) {
        for (Tensor* t : {&p->param, &p->exp_avg, &p->exp_avg_sq, &p->master, &p->remainder}) {
          CHECK(t->bytes() == before[i++]);
        }
        for (double g : p->grad.values()) CHECK((g == 0.) || zero == 0);
      }
      for (int64_t t : optimizer.steps()) CHECK_EQ(t, 0);
    }
  }
}

TEST(nonfinite_gradients_without_skip_show_in_the_parameters) {
  Random random(9);
  Optimizer optimizer;
  const Parameter& p = optimizer.add({40}, random);
  optimizer.create();
  fill_gradients(optimizer, random);
  optimizer.parameters[0]->grad.set(17, NAN);
  CHECK_EQ(optimizer.step({kGroup}), SL_OK);
  for (int64_t i = 0; i < 40; ++i) CHECK_EQ(std::isnan(p.param.at(i)), i == 17);
}

TEST(gradients_are_zeroed_and_may_be_missing) {
  Random random(10);
  Optimizer optimizer;
  add_parameters(optimizer, random);
  optimizer.create();
  const size_t missing = 13;
  for (int t = 1; t <= 3; ++t) {
    fill_gradients(optimizer, random);
    const auto before = optimizer.parameters[missing]->param.bytes();
    const auto grad_before = optimizer.parameters[missing]->grad.bytes();
    for (size_t i = 0; i < optimizer.parameters.size(); ++i) {
      if (i != missing || t == 3) {
        optimizer.parameters[i]->restate(kGroup, i == missing ? 1 : t, 1.f);
      }
    }
    sl_adamw_step_args args{};
    args.zero_grads = 1;
    CHECK_EQ(optimizer.step({kGroup, kGroup}, args, 0, t < 3 ? missing : SIZE_MAX), SL_OK);
    for (size_t i = 0; i < optimizer.parameters.size(); ++i) {
      if (i == missing && t < 3) {
        CHECK(optimizer.parameters[i]->param.bytes() == before);
        CHECK(optimizer.parameters[i]->grad.bytes() == grad_before);
      } else {
        for (double g : optimizer.parameters[i]->grad.values()) CHECK_EQ(g, 0.);
      }
    }
  }
  const std::vector<int64_t> steps = optimizer.steps();
  for (size_t i = 0; i < steps.size(); ++i) {
    CHECK_EQ(steps[i], i == missing ? 1 : 3);
  }
  CHECK_EQ(optimizer.differing(), 0);
}

TEST(set_steps_continues_a_checkpoint) {
  Random random(11);
  Optimizer whole, resumed;
  for (Optimizer* o : {&whole, &resumed}) {
    Random same(12);
    o->add({33}, same);
    o->create();
  }
  for (int t = 1; t <= 6; ++t) {
    fill_gradients(whole, random);
    for (int64_t i = 0; i < 33; ++i) {
      resumed.parameters[0]->grad.set(i, whole.parameters[0]->grad.at(i));
    }
    CHECK_EQ(whole.step({kGroup}), SL_OK);
    if (t == 4) {  // a new handle on the same memory
      sl_adamw_destroy(resumed.handle);
      resumed.create();
      const int64_t steps = 3;
      CHECK_EQ(sl_adamw_set_steps(resumed.handle, &steps, 1), SL_OK);
    }
    CHECK_EQ(resumed.step({kGroup}), SL_OK);
  }
  CHECK(whole.parameters[0]->param.bytes() == resumed.parameters[0]->param.bytes());
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
TEST(a_warm_step_allocates_nothing) {
  Random random(13);
  Optimizer optimizer;
  add_parameters(optimizer, random);
  optimizer.create();
  std::vector<sl_tensor> grads;
  for (auto& p : optimizer.parameters) grads.push_back(p->grad.raw());
  const sl_adamw_group groups[] = {kGroup, kGroup};
  sl_adamw_step_args args{};
  args.grads = grads.data();
  args.count = static_cast<int64_t>(grads.size());
  args.groups = groups;
  args.group_count = 2;
  args.grad_scale = 1;
  args.max_grad_norm = 1;
  CHECK_EQ(sl_adamw_step(optimizer.handle, nullptr, &args), SL_OK);
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 3; ++i) CHECK_EQ(sl_adamw_step(optimizer.handle, nullptr, &args), SL_OK);
  CHECK_EQ(mallinfo2().uordblks, before);
}
#endif

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
