// LoRA forward, backward and delta against fp64, finite differences and each other.
#include <malloc.h>

#include <numeric>

#include "isa_test.h"
#include "lora_checks.h"

using namespace abi;

namespace {

void check_forward(const LoraShape& shape, uint64_t seed) {
  LoraCase c(shape, seed);
  check_forward_call(c, tolerance(shape.x));
}

void check_backward(const LoraShape& shape, uint64_t seed, bool accumulate) {
  LoraCase c(shape, seed);
  if (shape.keeps_s) {
    CHECK_EQ(c.forward(), SL_OK);
  }
  check_backward_call(c, accumulate, tolerance(shape.x));
}

template <typename Check>
void for_each_shape(Check check) {
  const std::vector<LoraShape> shapes = {
      {{1}, 1, {1}, {1}},
      {{}, 7, {13}, {2}},
      {{65}, 31, {33}, {7}},
      {{2, 13}, 65, {31, 7, 65}, {1, 16, 31}},
      {{207}, 96, {192}, {32}},
      {{31}, 513, {40}, {256}},
      {{3, 5}, 300, {257, 17}, {65, 3}},
      {{600}, 24, {530}, {4}},
  };
  uint64_t seed = 1;
  for (const LoraShape& shape : shapes) {
    for (DType x : kBothDTypes) {
      for (int variant = 0; variant < 8; ++variant) check(variant_of(shape, x, variant), seed++);
    }
  }
}

}  // namespace

TEST(forward_matches_fp64) { for_each_shape(check_forward); }

TEST(backward_matches_fp64) {
  for_each_shape([](const LoraShape& s, uint64_t seed) { check_backward(s, seed, false); });
}

TEST(backward_accumulates) {
  for_each_shape([](const LoraShape& s, uint64_t seed) { check_backward(s, seed, true); });
}

// y is linear in each of x, A and B alone, so a central difference has no truncation error and its
// step may be large.
TEST(backward_matches_finite_differences) {
  for (double dropout : {0., 0.4}) {
    LoraShape shape{{2, 9}, 37, {21, 14}, {5, 8}};
    shape.dropout = dropout;
    shape.seeds = {3, 4};
    LoraCase c(shape, 5);
    const auto loss = [&c] {
      CHECK_EQ(c.forward(), SL_OK);
      double sum = 0;
      for (auto& l : c.linears) {
        for (int64_t i = 0; i < l->y.size(); ++i) sum += l->y.at(i) * l->dy.at(i);
      }
      return sum;
    };
    loss();
    CHECK_EQ(c.backward(), SL_OK);
    std::vector<std::pair<Tensor*, Tensor*>> pairs = {{&c.x, &c.dx}};
    for (auto& l : c.linears) {
      pairs.emplace_back(&l->a, &l->da);
      pairs.emplace_back(&l->b, &l->db);
    }
    Random random(6);
    for (auto& [value, gradient] : pairs) {
      const Vector start = value->values();
      Vector direction(start.size());
      double expected = 0, magnitude = 0;
      for (size_t i = 0; i < start.size(); ++i) {
        direction[i] = random.normal();
        expected += direction[i] * gradient->at(static_cast<int64_t>(i));
        magnitude += std::abs(direction[i] * gradient->at(static_cast<int64_t>(i)));
      }
      double losses[2];
      for (int sign : {0, 1}) {
        for (size_t i = 0; i < start.size(); ++i) {
          value->set(static_cast<int64_t>(i), start[i] + (sign ? 0.5 : -0.5) * direction[i]);
        }
        losses[sign] = loss();
      }
      for (size_t i = 0; i < start.size(); ++i) value->set(static_cast<int64_t>(i), start[i]);
      CHECK_LE(std::abs(losses[1] - losses[0] - expected), 1e-5 * magnitude);
    }
  }
}

// With A and B the identity and no weight, y += drop(x) and dx = drop'(dy): the mask itself.
TEST(dropout_is_replayed_and_has_its_rate) {
  const int64_t m = 301, k = 67;
  for (double p : {0.05, 0.5, 0.9}) {
    LoraShape shape{{m}, k, {k}, {k}};
    shape.has_weight = false;
    shape.dropout = p;
    LoraCase c(shape, 8);
    LoraCase::Linear& l = *c.linears[0];
    l.scale = 1;
    l.a.fill_value(0);
    l.b.fill_value(0);
    for (int64_t i = 0; i < k; ++i) l.a.set(i * k + i, 1);
    for (int64_t i = 0; i < k; ++i) l.b.set(i * k + i, 1);
    c.x.fill_value(1);
    l.dy.fill_value(1);
    const auto mask = [&] {
      l.y.fill_value(0);
      CHECK_EQ(c.forward(), SL_OK);
      return l.y.values();
    };
    const Vector first = mask();
    CHECK_EQ(c.backward(), SL_OK);
    CHECK(c.dx.values() == first);
    CHECK(mask() == first);
    int64_t dropped = 0;
    for (double v : first) {
      CHECK(v == 0. || std::abs(v - 1 / (1 - p)) < 1e-6 / (1 - p));
      dropped += v == 0.;
    }
    const double count = static_cast<double>(m * k);
    CHECK_LE(std::abs(static_cast<double>(dropped) - count * p),
             5 * std::sqrt(count * p * (1 - p)));
    l.seed += 1;
    CHECK(mask() != first);
  }
}

TEST(same_bits_at_any_thread_count) {
  for (DType x : kBothDTypes) {
    for (double dropout : {0., 0.2}) {
      std::vector<std::vector<uint8_t>> expected;
      for (int threads : {1, 2, 3, 5}) {
        LoraShape shape{{410}, 300, {270, 130}, {33, 8}};
        shape.x = x;
        shape.dropout = dropout;
        LoraCase c(shape, 9);
        c.threads = threads;
        CHECK_EQ(c.forward(), SL_OK);
        CHECK_EQ(c.backward(true, true), SL_OK);
        const auto bytes = output_bytes(c);
        if (threads == 1) expected = bytes;
        CHECK(bytes == expected);
      }
    }
  }
}

TEST(recomputed_s_gives_the_bits_of_the_kept_one) {
  for (double dropout : {0., 0.2}) {
    LoraShape shape{{130}, 70, {50, 60}, {9, 17}};
    shape.dropout = dropout;
    LoraCase kept(shape, 10);
    shape.keeps_s = false;
    LoraCase recomputed(shape, 10);
    CHECK_EQ(kept.forward(), SL_OK);
    CHECK_EQ(kept.backward(), SL_OK);
    CHECK_EQ(recomputed.backward(), SL_OK);
    CHECK(kept.dx.bytes() == recomputed.dx.bytes());
    for (size_t i = 0; i < 2; ++i) {
      CHECK(kept.linears[i]->db.bytes() == recomputed.linears[i]->db.bytes());
      CHECK(kept.linears[i]->da.bytes() == recomputed.linears[i]->da.bytes());
    }
  }
}

TEST(each_output_may_be_missing) {
  std::vector<unsigned> all(128);
  std::iota(all.begin(), all.end(), 0u);
  check_missing_outputs({{40}, 30, {20, 25, 10}, {4, 6, 3}}, all);
}

TEST(delta_adds_the_adapter_alone) {
  for (DType x : kBothDTypes) {
    LoraShape shape{{2, 33}, 60, {45}, {12}};
    shape.has_weight = false;
    shape.x = x;
    LoraCase c(shape, 12);
    const Vector before = c.linears[0]->y.values();
    CHECK_EQ(c.forward(), SL_OK);
    CHECK_LE(relative_error(c.linears[0]->y.values(), c.y_of(*c.linears[0], before)), tolerance(x));
  }
}

// y of q, k and v side by side in one buffer.
TEST(outputs_may_interleave_in_one_buffer) {
  const LoraShape shape{{50}, 40, {16, 16, 16}, {4, 4, 4}};
  LoraCase apart(shape, 13), fused(shape, 13);
  Tensor buffer({50, 48});
  sl_tensor slices[3];
  auto abi = fused.abi_linears();
  for (int i = 0; i < 3; ++i) {
    slices[i] = fused.linears[i]->y.raw();
    slices[i].data = buffer.data();
    slices[i].byte_offset = static_cast<uint64_t>(i) * 16 * 4;
    slices[i].strides = buffer.raw().strides;
    abi[i].y = &slices[i];
  }
  CHECK_EQ(apart.forward(), SL_OK);
  const sl_lora_args args = fused.args_of(abi);
  CHECK_EQ(sl_lora_forward(nullptr, &args), SL_OK);
  for (int64_t row = 0; row < 50; ++row) {
    for (int64_t col = 0; col < 48; ++col) {
      CHECK_EQ(buffer.at(row, col), apart.linears[col / 16]->y.at(row, col % 16));
    }
  }
}

TEST(an_empty_batch_gives_zero_gradients) {
  for (double dropout : {0., 0.5}) check_empty_batch(dropout);
}

TEST(nonfinite_inputs_show) {
  for (DType x : kBothDTypes) {
    LoraShape shape{{9}, 30, {8}, {4}};
    shape.x = x;
    LoraCase c(shape, 15);
    c.x.set(4 * 30 + 7, NAN);
    CHECK_EQ(c.forward(), SL_OK);
    CHECK_EQ(c.backward(), SL_OK);
    for (int64_t i = 0; i < 9; ++i) CHECK_EQ(std::isnan(c.linears[0]->y.at(i, 0)), i == 4);
    CHECK(std::isnan(c.linears[0]->da.at(0, 7)));
    CHECK(!std::isnan(c.linears[0]->da.at(0, 6)));
  }
}

TEST(the_callers_workspace_gives_the_same_bits) {
  const LoraShape shape{{70}, 50, {40}, {5}};
  LoraCase cached(shape, 16), given(shape, 16), refused(shape, 16);
  CHECK_EQ(cached.forward(), SL_OK);
  std::vector<char> memory(16 << 20, -1);  // NaNs, which reach no result
  given.threads = 1;
  given.context.workspace = memory.data() + 3;
  given.context.workspace_bytes = memory.size() - 3;
  CHECK_EQ(given.forward(), SL_OK);
  CHECK(cached.linears[0]->y.bytes() == given.linears[0]->y.bytes());

  const auto before = refused.linears[0]->y.bytes();
  refused.context.workspace = memory.data();
  refused.context.workspace_bytes = 100;
  CHECK_EQ(refused.forward(), SL_INVALID_ARGUMENT);
  CHECK(message_has("workspace_bytes: 100, expected at least"));
  CHECK(refused.linears[0]->y.bytes() == before);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
TEST(warm_calls_allocate_nothing) {
  LoraShape shape{{200}, 100, {90, 80}, {8, 8}};
  shape.keeps_s = false;
  shape.dropout = 0.1;
  LoraCase c(shape, 17);
  const auto abi = c.abi_linears();
  sl_lora_args args = c.args_of(abi);
  args.dropout = 0.1;
  size_t before = 0;
  for (int i = 0; i < 4; ++i) {
    if (i == 1) before = mallinfo2().uordblks;
    CHECK_EQ(sl_lora_forward(nullptr, &args), SL_OK);
    CHECK_EQ(sl_lora_backward(nullptr, &args), SL_OK);
  }
  CHECK_EQ(mallinfo2().uordblks, before);
}
#endif

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
