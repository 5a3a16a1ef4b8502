// The CUDA AdamW through the C ABI on the host emulator, its blocks running together: bit for bit
// against a restatement of torch's single-tensor step; clipping, skipping, reports, step counts and
// tables. Compiled without FMA contraction.
#include "adamw_case.h"
#include "cuda/adamw/adamw.cu"
#include "emulated_backend.h"
#include "emulated_runtime.h"

using namespace abi;

namespace {

struct EmulatedOptimizer : Optimizer {
  Random random{31};
  Tensor report{{4}};

  // Every dtype combination over sizes around chunks, groups of four and nothing.
  explicit EmulatedOptimizer(const std::vector<std::vector<int64_t>>& shapes = {
                                 {1}, {7}, {4096}, {3, 1371}, {}, {0, 5}, {2, 3, 5}, {130, 65}}) {
    emu::backend().adamw_create = sightline::cuda::adamw_create;
    emu::backend().adamw_step = sightline::cuda::adamw_step;
    emu::backend().adamw_get_steps = sightline::cuda::adamw_get_steps;
    emu::backend().adamw_set_steps = sightline::cuda::adamw_set_steps;
    emu::backend().adamw_destroy = sightline::cuda::adamw_destroy;
    int i = 0;
    for (const auto& shape : shapes) {
      // fp32, bf16, bf16 with a master, bf16 with a remainder.
      const Kept kept = i % 4 == 2 ? Kept::kMaster : i % 4 == 3 ? Kept::kRemainder : Kept::kParam;
      add(shape, random, i % 4 != 0 ? DType::kBFloat16 : DType::kFloat32,
          i % 3 != 0 ? DType::kBFloat16 : DType::kFloat32, kept, i % 2);
      ++i;
    }
    new_gradients();
    create();
  }

  void new_gradients(double scale = 1) {
    for (auto& p : parameters) p->grad.fill(random, scale);
  }
};

// The second's decay would be another number if its product were rounded before the difference.
const std::vector<sl_adamw_group> kGroups = {kGroup, {0.3, 0.4, 0.98, 1e-6, 0.27}};

}  // namespace

TEST(steps_are_torchs_bit_for_bit) {
  for (bool zero : {false, true}) {
    EmulatedOptimizer o;
    for (int t = 1; t <= 3; ++t) {
      o.new_gradients();
      for (auto& p : o.parameters) p->restate(kGroups[p->group], t, 0.5f);
      sl_adamw_step_args args{};
      args.grad_scale = 0.5;
      args.zero_grads = zero;
      CHECK_EQ(o.step(kGroups, args), SL_OK);
      CHECK_EQ(o.differing(), 0);
      CHECK(zero ? o.sum_of_squares() == 0 : o.sum_of_squares() > 0);
    }
    CHECK(o.steps() == std::vector<int64_t>(o.parameters.size(), 3));
    for (auto& p : o.parameters) {
      CHECK(p->param.padding_is_intact() && p->grad.padding_is_intact() &&
            p->exp_avg.padding_is_intact() && p->exp_avg_sq.padding_is_intact());
    }
  }
}

TEST(clips_the_global_norm) {
  EmulatedOptimizer o;
  for (int t = 1; t <= 2; ++t) {
    o.new_gradients();
    const double norm = 0.25 * std::sqrt(o.sum_of_squares()), most = t == 1 ? norm / 3 : 2 * norm;
    const double factor = std::min(1., most / (norm + 1e-6));
    for (auto& p : o.parameters) {
      p->restate(kGroups[p->group], t, static_cast<float>(0.25 * factor));
    }
    sl_adamw_step_args args{};
    args.grad_scale = 0.25, args.max_grad_norm = most, args.zero_grads = 1;
    args.report = o.report.get();
    CHECK_EQ(o.step(kGroups, args), SL_OK);
    CHECK_EQ(o.differing(), 0);
    CHECK_LE(std::abs(o.report.at(0) / norm - 1), 1e-6);
    CHECK_LE(std::abs(o.report.at(1) / factor - 1), 1e-6);
    CHECK_EQ(o.report.at(2), 0);
    CHECK_EQ(o.report.at(3), 0);
  }
}

TEST(a_report_alone_measures_on_the_way) {
  EmulatedOptimizer o;
  o.parameters[7]->grad.set(o.parameters[7]->grad.size() - 1, INFINITY);
  sl_adamw_step_args args{};
  args.report = o.report.get();
  CHECK_EQ(o.step(kGroups, args), SL_OK);
  CHECK_EQ(o.report.at(2), 1);
  CHECK_EQ(o.report.at(3), 0);
  o.new_gradients();
  const double norm = std::sqrt(o.sum_of_squares());
  CHECK_EQ(o.step(kGroups, args), SL_OK);
  CHECK_LE(std::abs(o.report.at(0) / norm - 1), 1e-6);
  CHECK_EQ(o.report.at(1), 1);
}

TEST(skips_what_is_not_finite) {
  EmulatedOptimizer o;
  o.parameters[3]->grad.set(5, NAN);
  o.parameters[7]->grad.set(8000, -INFINITY);
  sl_adamw_step_args args{};
  args.skip_nonfinite = 1, args.zero_grads = 1, args.max_grad_norm = 1;
  args.report = o.report.get();
  CHECK_EQ(o.step(kGroups, args), SL_OK);
  CHECK_EQ(o.report.at(2), 2);
  CHECK_EQ(o.report.at(3), 1);
  CHECK_EQ(o.differing(), 0);
  CHECK_EQ(o.sum_of_squares(), 0);
  CHECK(o.steps() == std::vector<int64_t>(o.parameters.size(), 0));
  // The next step finds the barrier as the first one did.
  o.new_gradients(1e-3);
  args.max_grad_norm = 0;
  for (auto& p : o.parameters) p->restate(kGroups[p->group], 1, 1.f);
  CHECK_EQ(o.step(kGroups, args), SL_OK);
  CHECK_EQ(o.differing(), 0);
  CHECK_EQ(o.report.at(3), 0);
}

TEST(tensors_without_a_gradient_rest) {
  EmulatedOptimizer o;
  for (size_t i = 0; i < o.parameters.size(); ++i) {
    if (i != 2) o.parameters[i]->restate(kGroups[i % 2], 1, 1.f);
  }
  CHECK_EQ(o.step(kGroups, {}, 0, 2), SL_OK);
  CHECK_EQ(o.differing(), 0);
  std::vector<int64_t> expected(o.parameters.size(), 1);
  expected[2] = 0;
  CHECK(o.steps() == expected);
}

TEST(steps_can_be_set) {
  EmulatedOptimizer o;
  std::vector<int64_t> steps(o.parameters.size(), 41);
  steps[1] = 7;
  CHECK_EQ(sl_adamw_set_steps(o.handle, steps.data(), static_cast<int64_t>(steps.size())), SL_OK);
  for (size_t i = 0; i < o.parameters.size(); ++i) {
    o.parameters[i]->restate(kGroups[i % 2], steps[i] + 1, 1.f);
  }
  CHECK_EQ(o.step(kGroups), SL_OK);
  CHECK_EQ(o.differing(), 0);
}

// Gradients that move and learning rates that change reach the tables; a capture makes every later
// step write them, as replays overwrite what the host believes to be there.
TEST(tables_follow_gradients_and_groups) {
  EmulatedOptimizer o;
  auto groups = kGroups;
  for (int t = 1; t <= 6; ++t) {
    if (t == 2) groups[0].lr = 0.3;
    emu::machine().launches = 0;
    emu::capturing() = t == 4;
    if (t == 6) {  // another gradient tensor for the first parameter
      Tensor& grad = o.parameters[0]->grad;
      static float elsewhere = 0.25f;
      grad.raw().data = &elsewhere;
      grad.set(0, 0.25);
    }
    for (auto& p : o.parameters) p->restate(groups[p->group], t, 1.f);
    CHECK_EQ(o.step(groups), SL_OK);
    CHECK_EQ(o.differing(), 0);
    const int expected[] = {3, 2, 1, 3, 3, 3};  // both tables and the step; groups; nothing; ...
    CHECK_EQ(emu::machine().launches, expected[t - 1]);
  }
  emu::capturing() = false;
}

// A captured step reads the rates that stand in the tensor when it runs; the host's are not looked
// at.
TEST(rates_from_a_tensor) {
  EmulatedOptimizer o;
  Tensor lr({2});
  auto groups = kGroups;
  for (int t = 1; t <= 3; ++t) {
    o.new_gradients();
    sl_adamw_step_args args{};
    args.lr = lr.get();
    auto followed = kGroups;
    for (int g = 0; g < 2; ++g) {
      lr.set(g, 1e-2 / (t + g));
      followed[g].lr = lr.at(g);
    }
    for (auto& p : o.parameters) p->restate(followed[p->group], t, 1.f);
    emu::machine().launches = 0;
    CHECK_EQ(o.step(groups, args), SL_OK);
    CHECK_EQ(o.differing(), 0);
    CHECK_EQ(emu::machine().launches, t == 1 ? 3 : 1);  // no table follows a rate
  }
}

// Kernels see the same ends of the range as the CPU's (adamw_test): NaN whose rounding would carry,
// the largest number, which rounds to infinity, ties and zeros.
TEST(ends_of_the_range_of_a_remainder) {
  for (uint32_t bits : {0x7f7fffffu, 0xff7fffffu, 0x3f808000u, 0xbf818000u, 0u, 0x80000000u, 1u,
                        0x807fffffu, 0x7f800000u}) {
    float value;
    std::memcpy(&value, &bits, 4);
    uint16_t parameter;
    int16_t remainder;
    sightline::split_master(value, parameter, remainder);
    CHECK_EQ(parameter, static_cast<uint16_t>((bits >> 16) + (bits >> 15 & 1)));
    CHECK_EQ(bits_of(sightline::join_master(parameter, remainder)), bits);
  }
  for (uint32_t bits : {0x7fffffffu, 0xffffffffu, 0x7f800001u, 0x7fc00000u}) {
    float value;
    std::memcpy(&value, &bits, 4);
    uint16_t parameter;
    int16_t remainder;
    sightline::split_master(value, parameter, remainder);
    CHECK(std::isnan(from_bf16(parameter)));
    CHECK(std::isnan(sightline::join_master(parameter, remainder)));
  }
}

TEST(same_bits_in_any_schedule) {
  std::vector<std::vector<uint8_t>> expected;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    emu::machine().random.seed(seed);
    EmulatedOptimizer o({{4096 * 3 + 5}, {4100}});
    sl_adamw_step_args args{};
    args.max_grad_norm = 1;
    args.report = o.report.get();
    CHECK_EQ(o.step(kGroups, args), SL_OK);
    std::vector<std::vector<uint8_t>> bytes{o.report.bytes()};
    for (auto& p : o.parameters) bytes.push_back(p->param.bytes());
    if (expected.empty()) expected = bytes;
    CHECK(bytes == expected);
  }
}

TEST_MAIN()
