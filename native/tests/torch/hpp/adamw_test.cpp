// AdamW beside torch::optim::AdamW.
#include <sstream>

#include "check.h"

namespace {

using torch::optim::AdamWOptions;
using torch::optim::OptimizerParamGroup;
using StepOptions = sightline::AdamWStepOptions;

std::vector<Tensor> parameters(torch::ScalarType dtype = torch::kFloat) {
  std::vector<Tensor> result;
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{7, 13}, {31}, {2, 3, 5}})
    result.push_back(torch::randn(shape).to(dtype).requires_grad_());
  return result;
}

std::vector<Tensor> copies(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.detach().clone().requires_grad_());
  return result;
}

void set_gradients(const std::vector<Tensor>& mine, const std::vector<Tensor>& theirs) {
  for (size_t i = 0; i < mine.size(); ++i) {
    mine[i].mutable_grad() = torch::randn_like(mine[i]);
    theirs[i].mutable_grad() = mine[i].grad().clone();
  }
}

// Two roundings an operation apart at the most, ten steps.
void check_equal(const std::vector<Tensor>& mine, const std::vector<Tensor>& theirs) {
  for (size_t i = 0; i < mine.size(); ++i) CHECK_LE(relative(mine[i], theirs[i]), 1e-6);
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!torch::equal(a[i], b[i])) return false;
  return true;
}

TEST(steps_are_torchs_with_groups_and_a_schedule) {
  const std::vector<Tensor> p = parameters(), q = copies(p);
  const auto groups = [](const std::vector<Tensor>& t) {
    std::vector<OptimizerParamGroup> result;
    result.emplace_back(std::vector<Tensor>{t[0], t[1]});
    result.emplace_back(std::vector<Tensor>{t[2]},
                        std::make_unique<AdamWOptions>(
                            AdamWOptions(0.1).weight_decay(0.3).eps(1e-3).betas({0.5, 0.7})));
    return result;
  };
  sightline::AdamW mine(groups(p), AdamWOptions(1e-2));
  torch::optim::AdamW theirs(groups(q), AdamWOptions(1e-2));
  torch::optim::StepLR my_schedule(mine, 3, 0.5), their_schedule(theirs, 3, 0.5);
  for (int step = 0; step < 10; ++step) {
    set_gradients(p, q);
    if (step % 4 == 1) p[1].mutable_grad() = q[1].mutable_grad() = Tensor();
    mine.step();
    theirs.step();
    my_schedule.step();
    their_schedule.step();
    check_equal(p, q);
  }
  mine.zero_grad();
  CHECK(!p[0].grad().defined());
}

TEST(gradients_are_clipped_and_reported) {
  const std::vector<Tensor> p = parameters(), q = copies(p);
  sightline::AdamW mine(p, AdamWOptions(1e-2), StepOptions().max_grad_norm(0.5));
  torch::optim::AdamW theirs(q, AdamWOptions(1e-2));
  CHECK(!mine.report().defined());
  for (int step = 0; step < 3; ++step) {
    set_gradients(p, q);
    const double norm = torch::nn::utils::clip_grad_norm_(q, 0.5);
    mine.step();
    theirs.step();
    check_equal(p, q);
    CHECK_LE(std::abs(mine.report()[0].item<double>() / norm - 1), 1e-6);
    CHECK_LE(std::abs(mine.report()[1].item<double>() * norm / 0.5 - 1), 1e-5);
    CHECK(mine.report()[3].item<float>() == 0);
  }
  mine.step_options().skip_nonfinite(true);
  const std::vector<Tensor> kept = copies(p);
  p[1].mutable_grad()[3] = NAN;
  mine.step();
  CHECK(same_bits(p, kept));
  CHECK(mine.report()[2].item<float>() == 1 && mine.report()[3].item<float>() == 1);
}

TEST(a_closure_is_called_and_versions_are_raised) {
  const std::vector<Tensor> p = parameters();
  sightline::AdamW optimizer({p[0], p[1]}, AdamWOptions(1e-2));
  const auto before = p[0]._version(), other = p[1]._version();
  const torch::NoGradGuard no_grad;
  const Tensor loss = optimizer.step([&] {
    const Tensor result = p[0].pow(2).sum();
    result.backward();
    return result;
  });
  CHECK(loss.item<float>() > p[0].pow(2).sum().item<float>());
  CHECK(p[0]._version() > before && p[1]._version() == other);
}

// bf16 parameters: fp32 copies, or the 16 bits they have more, take the same steps.
TEST(masters_and_remainders_are_kept) {
  const std::vector<Tensor> p = parameters(torch::kBFloat16), q = copies(p);
  std::vector<Tensor> wide;
  for (const Tensor& tensor : p) wide.push_back(tensor.detach().to(torch::kFloat).requires_grad_());
  sightline::AdamW with_master(p, AdamWOptions(1e-3));
  sightline::AdamW with_remainder(q, AdamWOptions(1e-3), StepOptions().remainder(true));
  torch::optim::AdamW theirs(wide, AdamWOptions(1e-3));
  for (int step = 0; step < 30; ++step) {
    set_gradients(p, q);
    for (size_t i = 0; i < p.size(); ++i) wide[i].mutable_grad() = p[i].grad().to(torch::kFloat);
    with_master.step();
    with_remainder.step();
    theirs.step();
  }
  for (size_t i = 0; i < p.size(); ++i) {
    CHECK_LE(relative(p[i], wide[i]), 4e-3);  // one rounding to bf16
    // Ties go to even in one and away from 0 in the other.
    CHECK_LE((p[i] != q[i]).sum().item<int64_t>(), 1);
  }
}

TEST(a_saved_state_continues) {
  for (const bool remainder : {false, true}) {
    const std::vector<Tensor> p = parameters(torch::kBFloat16), fp32 = parameters();
    std::vector<Tensor> all = p;
    all.insert(all.end(), fp32.begin(), fp32.end());
    const StepOptions options = StepOptions().remainder(remainder);
    sightline::AdamW first(all, AdamWOptions(1e-2), options);
    for (int step = 0; step < 3; ++step) {
      set_gradients(all, all);
      first.step();
    }
    std::stringstream file;
    torch::save(first, file);
    const std::vector<Tensor> others = copies(all);
    sightline::AdamW second(others, AdamWOptions(0.5), options);
    set_gradients(all, others);
    second.step();  // has a state of its own, to be replaced
    {
      const torch::NoGradGuard no_grad;
      for (size_t i = 0; i < all.size(); ++i) others[i].copy_(all[i]);
    }
    torch::load(second, file);
    for (int step = 0; step < 3; ++step) {
      set_gradients(all, others);
      first.step();
      second.step();
      CHECK(same_bits(all, others));
    }
  }
}

TEST(parameters_may_move_or_come_later) {
  const std::vector<Tensor> p = parameters(), q = copies(p);
  sightline::AdamW mine({p[0], p[1]}, AdamWOptions(1e-2));
  torch::optim::AdamW theirs({q[0], q[1]}, AdamWOptions(1e-2));
  for (int step = 0; step < 6; ++step) {
    if (step == 2) p[0].set_data(p[0].detach().clone());
    if (step == 4) {
      mine.add_param_group(OptimizerParamGroup({p[2]}));
      theirs.add_param_group(OptimizerParamGroup({q[2]}));
    }
    set_gradients(p, q);
    mine.step();
    theirs.step();
    check_equal(p, q);
  }
  // A gradient with strides of its own, and one that is only noted to be negated.
  for (const bool negated : {false, true}) {
    set_gradients(p, q);
    const Tensor gradient = p[0].grad();
    p[0].mutable_grad() = negated ? torch::_neg_view(-gradient) : gradient.t().contiguous().t();
    mine.step();
    theirs.step();
    check_equal(p, q);
  }
}

TEST(what_is_wrong_is_named) {
  const auto step = [](const std::vector<Tensor>& p, const AdamWOptions& options = {}) {
    sightline::AdamW optimizer(p, options);
    for (const Tensor& tensor : p) tensor.mutable_grad() = torch::ones_like(tensor);
    optimizer.step();
  };
  const std::vector<Tensor> p = parameters();
  CHECK_THROWS("ValueError: amsgrad: true, expected false", step(p, AdamWOptions().amsgrad(true)));
  CHECK_THROWS("ValueError: groups[0].lr: -1", step(p, AdamWOptions(-1)));
  CHECK_THROWS("ValueError: groups[0].beta1: 1", step(p, AdamWOptions().betas({1, 0.9})));
  CHECK_THROWS("ValueError: params: no tensors, expected at least one", step({}));
  CHECK_THROWS("ValueError: params[0].param: dtype (code 2, bits 64",
               step({torch::ones(3, torch::kDouble)}));
  CHECK_THROWS("ValueError: params[1].param: strides",
               step({torch::ones(3), torch::ones({3, 4}).t()}));
}

}  // namespace

TEST_MAIN()
