// Random LoRA calls: sizes, layouts, dtypes, values, threads, beside the fp64 reference and the
// same call on one thread.
#include "fuzz.h"
#include "isa_test.h"
#include "lora_checks.h"

using namespace abi;

namespace {

struct Plan {
  LoraShape shape;
  bool wild, accumulate, want_dx;
  int threads;
  uint64_t seed;  // of everything else

  explicit Plan(uint64_t case_seed) : shape{{}, 1, {}, {}} {
    Random r(case_seed);
    int64_t dims = r.below(3);
    const bool empty = r.below(20) == 0;
    for (int64_t most = 400; dims > 0; --dims, most /= 12) {
      shape.leading.push_back(empty && dims == 1 ? 0 : fuzz::odd_size(r, most));
    }
    shape.k = fuzz::odd_size(r, 521);
    for (int64_t count = 1 + r.below(4); count > 0; --count) {
      shape.n.push_back(fuzz::odd_size(r, 300));
      shape.rank.push_back(fuzz::odd_size(r, 70));
      shape.seeds.push_back(static_cast<uint64_t>(r.below(2)));
    }
    for (DType* type : {&shape.x, &shape.weight, &shape.adapter, &shape.gradient}) {
      *type = kBothDTypes[r.below(2)];
    }
    shape.dropout = r.below(2) ? 0. : 0.9 * r.uniform();
    shape.has_weight = r.below(4) != 0;
    shape.has_bias = r.below(2) == 1;
    shape.keeps_s = r.below(2) == 1;
    shape.pad = r.below(4);
    wild = r.below(2) == 1;
    accumulate = r.below(2) == 1;
    want_dx = r.below(4) != 0;
    threads = static_cast<int>(2 + r.below(6));
    seed = r.bits();
  }
};

// The case that a plan describes; with `magnitude` of its values without their signs.
std::unique_ptr<LoraCase> build(const Plan& plan, bool magnitude = false) {
  auto c = std::make_unique<LoraCase>(plan.shape, plan.seed);
  Random r(plan.seed);
  const auto set_up = [&](Tensor& t, bool input) {
    if (r.below(4) == 0) fuzz::spoil(r, t, plan.wild && r.below(2) == 0);
    if (input && r.below(8) == 0) t.broadcast();
    if (r.below(3) == 0) t.shift(1 + r.below(9));
    for (int64_t i = 0; magnitude && i < t.size(); ++i) t.set(i, std::abs(t.at(i)));
  };
  set_up(c->x, true);
  set_up(c->dx, false);
  for (auto& l : c->linears) {
    for (Tensor* t : {&l->weight, &l->bias, &l->a, &l->b, &l->dy}) set_up(*t, true);
    for (Tensor* t : {&l->y, &l->da, &l->db}) set_up(*t, false);
    if (plan.shape.has_weight) l->y.fill_value(NAN);  // what is there does not count
  }
  return c;
}

sl_status backward(LoraCase& c, const Plan& plan) {
  c.context.num_threads = c.threads;
  const auto abi = c.abi_linears();
  sl_lora_args args = c.args_of(abi);
  if (!plan.want_dx) args.grad_x = nullptr;
  args.accumulate_x = args.accumulate_weights = plan.accumulate;
  return sl_lora_backward(&c.context, &args);
}

// Roundings to bf16, of at most 2^-8 each: of a weight, of A, of S or T and of B, and of the
// result.
double bound_of(const LoraShape& s) {
  const bool narrow = s.x == DType::kBFloat16, gradients = s.gradient == DType::kBFloat16;
  return 4e-5 + (narrow ? 5.1 / 256 : 0.) + (gradients ? 1. / 256 : 0.);
}

void check_case(uint64_t seed) {
  const Plan plan(seed);
  const double bound = bound_of(plan.shape);
  const auto c = build(plan), before = build(plan), size = build(plan, true), one = build(plan);
  c->threads = plan.threads;
  one->threads = 1;

  for (LoraCase* run : {c.get(), one.get()}) {
    if (plan.shape.keeps_s || plan.seed % 2 == 0) CHECK_EQ(run->forward(), SL_OK);
    CHECK_EQ(backward(*run, plan), SL_OK);
  }
  CHECK(output_bytes(*c) == output_bytes(*one));
  CHECK(c->x.bytes() == before->x.bytes());

  const auto start = [&](const Tensor& t) { return plan.accumulate ? t.values() : zeros(t); };
  CHECK(c->dx.padding_is_intact());
  if (plan.want_dx) {
    fuzz::check_values(c->dx.values(), before->dx_of(start(before->dx)),
                       size->dx_of(start(size->dx)), bound);
  }
  for (size_t i = 0; i < c->linears.size(); ++i) {
    const auto &l = *c->linears[i], &was = *before->linears[i], &abs = *size->linears[i];
    for (const Tensor* t : {&l.y, &l.s, &l.da, &l.db}) CHECK(t->padding_is_intact());
    fuzz::check_values(l.da.values(), before->da_of(was, start(was.da)),
                       size->da_of(abs, start(abs.da)), bound);
    fuzz::check_values(l.db.values(), before->db_of(was, start(was.db)),
                       size->db_of(abs, start(abs.db)), bound);
    if (!plan.shape.keeps_s && plan.seed % 2 != 0) continue;
    fuzz::check_values(l.y.values(), before->y_of(was, was.y.values()),
                       size->y_of(abs, abs.y.values()), bound);
    if (!plan.shape.keeps_s) continue;
    fuzz::check_values(l.s.values(), before->s_of(was), size->s_of(abs), bound);
  }
}

}  // namespace

TEST(random_calls_match_the_oracle) { fuzz::for_each_seed(30, check_case); }

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
