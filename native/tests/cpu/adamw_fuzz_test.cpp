// Random steps of AdamW: sizes, dtypes, where the state is kept, values that are not finite, beside
// the restatement, whose bits they have.
#include "adamw_case.h"
#include "fuzz.h"
#include "isa_test.h"

using namespace abi;

namespace {

void check_case(uint64_t seed) {
  Random r(seed);
  Optimizer optimizer;
  for (int64_t i = 1 + r.below(6); i > 0; --i) {
    const std::vector<int64_t> shape = {r.below(10) ? fuzz::odd_size(r, 521) : 0,
                                        fuzz::odd_size(r, 64)};
    const auto kept = static_cast<Kept>(r.below(3));
    const DType dtype = kept == Kept::kParam ? kBothDTypes[r.below(2)] : DType::kBFloat16;
    optimizer.add(shape, r, dtype, kBothDTypes[r.below(2)], kept, static_cast<int>(r.below(2)));
  }
  optimizer.create();
  const std::vector<sl_adamw_group> groups = {kGroup, {3e-3, 0.3 * r.uniform(), 0.99, 1e-6, 0.}};
  const int threads = static_cast<int>(1 + r.below(4));
  for (int64_t t = 1; t <= 2; ++t) {
    fill_gradients(optimizer, r);
    for (auto& p : optimizer.parameters) {
      if (r.below(3) == 0) fuzz::spoil(r, p->grad, r.below(2) == 1);
      p->restate(groups[static_cast<size_t>(p->group)], t, 0.5f);
    }
    sl_adamw_step_args args{};
    args.grad_scale = 0.5;
    CHECK_EQ(optimizer.step(groups, args, threads), SL_OK);
    CHECK_EQ(optimizer.differing(), 0);
  }
  for (auto& p : optimizer.parameters) {
    for (const Tensor* output : {&p->param, &p->exp_avg, &p->exp_avg_sq, &p->master}) {
      for (double value : output->values()) {
        if (std::isnan(value)) CHECK_EQ(std::bit_cast<uint64_t>(value), fuzz::kOneNan);
      }
    }
  }
}

}  // namespace

TEST(random_steps_match_the_restatement) { fuzz::for_each_seed(200, check_case); }

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
