// Merging adapters into weights and taking them out again.
#include "abi/tensor.h"
#include "harness.h"
#include "isa_test.h"

using namespace abi;

namespace {

struct Case {
  Tensor weight, a, b;
  double scale = 0.75;

  Case(int64_t n, int64_t k, int64_t r, DType weight_dtype, DType adapter, uint64_t seed,
       int64_t pad = 3)
      : weight({n, k}, weight_dtype, pad), a({r, k}, adapter, pad), b({n, r}, adapter, pad) {
    Random random(seed);
    weight.fill(random);
    a.fill(random);
    b.fill(random, 1 / std::sqrt(static_cast<double>(r)));
  }
  sl_status merge(int32_t rounding = SL_ROUND_NEAREST, uint64_t seed = 0, int threads = 0) {
    sl_context context{};
    context.num_threads = threads;
    return run(&context, scale, rounding, seed);
  }
  sl_status unmerge(int32_t rounding = SL_ROUND_NEAREST, uint64_t seed = 0) {
    return run(nullptr, -scale, rounding, seed);
  }
  sl_status run(const sl_context* context, double by, int32_t rounding, uint64_t seed) {
    const sl_lora_merge_args args{weight.get(), a.get(), b.get(), by, rounding, seed};
    return sl_lora_merge(context, &args);
  }
  double delta(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t q = 0; q < a.rows(); ++q) sum += b.at(i, q) * a.at(q, j);
    return scale * sum;
  }
};

// The distance of neighbouring numbers of 24 or 8 bits at |x|.
double ulp(double x, DType dtype) {
  if (x == 0) return 0;
  return std::ldexp(1., std::ilogb(x) - (dtype == DType::kFloat32 ? 23 : 7));
}

struct Sizes {
  int64_t n, k, r;
};
constexpr Sizes kSizes[] = {{1, 1, 1}, {13, 31, 7}, {207, 65, 32}, {70, 530, 16}, {33, 40, 256}};

}  // namespace

TEST(merge_adds_and_unmerge_restores) {
  uint64_t seed = 1;
  for (DType weight : kBothDTypes) {
    for (DType adapter : kBothDTypes) {
      for (const auto& [n, k, r] : kSizes) {
        Case c(n, k, r, weight, adapter, seed++);
        const auto before = c.weight.values();
        CHECK_EQ(c.merge(), SL_OK);
        const auto merged = c.weight.values();
        CHECK_EQ(c.unmerge(), SL_OK);
        const double allowed_ulps = weight == DType::kFloat32 ? 2 : 1;  // as sightline.h says
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t j = 0; j < k; ++j) {
            const double w = before[i * k + j], delta = c.delta(i, j);
            const double largest = std::max(std::abs(w), std::abs(w + delta));
            // One rounding of the sum, and the product's fp32 sums.
            CHECK_LE(std::abs(merged[i * k + j] - (w + delta)),
                     0.5 * ulp(merged[i * k + j], weight) +
                         static_cast<double>(r) * 0x1p-24 * (2 + std::abs(delta)) +
                         ulp(w + delta, DType::kFloat32));
            CHECK_LE(std::abs(c.weight.at(i, j) - w), allowed_ulps * ulp(largest, weight));
          }
        }
        CHECK(c.weight.padding_is_intact());
      }
    }
  }
}

TEST(nearest_rounding_to_bf16_is_of_the_fp32_sum) {
  Case wide(20, 24, 1, DType::kFloat32, DType::kFloat32, 3);
  Case narrow(20, 24, 1, DType::kBFloat16, DType::kFloat32, 3);
  for (int64_t i = 0; i < wide.weight.size(); ++i) wide.weight.set(i, narrow.weight.at(i));
  CHECK_EQ(wide.merge(), SL_OK);
  CHECK_EQ(narrow.merge(), SL_OK);
  for (int64_t i = 0; i < wide.weight.size(); ++i) {
    CHECK_EQ(narrow.weight.at(i), round_to_bf16(static_cast<float>(wide.weight.at(i))));
  }
}

// Each result is one of the two neighbours, and over many seeds their mean is the exact sum.
TEST(stochastic_rounding_is_unbiased) {
  const int64_t n = 6, k = 75;
  Case c(n, k, 2, DType::kBFloat16, DType::kFloat32, 4);
  c.scale = 1e-3;  // below most weights' ulp: nearest rounding would lose it
  const auto before = c.weight.values();
  std::vector<double> exact = before;
  for (int64_t i = 0; i < c.weight.size(); ++i) exact[i] += c.delta(i / k, i % k);
  const int rounds = 2000;
  std::vector<double> sums(before.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < before.size(); ++i) c.weight.set(static_cast<int64_t>(i), before[i]);
    CHECK_EQ(c.merge(SL_ROUND_STOCHASTIC, static_cast<uint64_t>(round)), SL_OK);
    for (size_t i = 0; i < before.size(); ++i) {
      const double value = c.weight.at(static_cast<int64_t>(i));
      // A neighbour, unless the fp32 sum fell on the other side of one.
      CHECK_LE(std::abs(value - exact[i]), (1 + 1e-4) * ulp(exact[i], DType::kBFloat16));
      sums[i] += value - exact[i];
    }
  }
  double bias = 0, variance = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double step = ulp(exact[i], DType::kBFloat16);
    const double up = exact[i] / step - std::floor(exact[i] / step);
    const double sigma = step * std::sqrt(std::max(up * (1 - up), 1e-3) / rounds);
    CHECK_LE(std::abs(sums[i] / rounds), 6 * sigma);
    bias += sums[i] / rounds / step;
    variance += up * (1 - up) / rounds;
  }
  CHECK_LE(std::abs(bias), 4 * std::sqrt(variance));  // and over all elements together
}

TEST(stochastic_rounding_repeats_and_depends_on_the_seed) {
  Case first(40, 90, 3, DType::kBFloat16, DType::kBFloat16, 5);
  Case again(40, 90, 3, DType::kBFloat16, DType::kBFloat16, 5);
  Case other(40, 90, 3, DType::kBFloat16, DType::kBFloat16, 5);
  CHECK_EQ(first.merge(SL_ROUND_STOCHASTIC, 7), SL_OK);
  CHECK_EQ(again.merge(SL_ROUND_STOCHASTIC, 7), SL_OK);
  CHECK_EQ(other.merge(SL_ROUND_STOCHASTIC, 8), SL_OK);
  CHECK(first.weight.bytes() == again.weight.bytes());
  CHECK(first.weight.bytes() != other.weight.bytes());
}

TEST(special_values_survive_stochastic_rounding) {
  Case c(1, 5, 1, DType::kBFloat16, DType::kFloat32, 6);
  c.scale = 0;
  const double values[] = {INFINITY, -INFINITY, 0., -1.5, 3.3895313892515355e38};
  for (int64_t i = 0; i < 5; ++i) c.weight.set(i, values[i]);
  CHECK_EQ(c.merge(SL_ROUND_STOCHASTIC, 1), SL_OK);
  for (int64_t i = 0; i < 5; ++i) CHECK_EQ(c.weight.at(i), values[i]);
  c.weight.set(2, NAN);
  CHECK_EQ(c.merge(SL_ROUND_STOCHASTIC, 1), SL_OK);
  CHECK(std::isnan(c.weight.at(2)));
}

TEST(rounding_mode_does_not_matter_in_fp32) {
  Case nearest(30, 50, 4, DType::kFloat32, DType::kFloat32, 7);
  Case stochastic(30, 50, 4, DType::kFloat32, DType::kFloat32, 7);
  CHECK_EQ(nearest.merge(), SL_OK);
  CHECK_EQ(stochastic.merge(SL_ROUND_STOCHASTIC, 3), SL_OK);
  CHECK(nearest.weight.bytes() == stochastic.weight.bytes());
}

TEST(same_bits_at_any_thread_count) {
  for (int32_t rounding : {SL_ROUND_NEAREST, SL_ROUND_STOCHASTIC}) {
    std::vector<uint8_t> expected;
    for (int threads : {1, 2, 3, 5}) {
      Case c(300, 700, 8, DType::kBFloat16, DType::kFloat32, 8);
      CHECK_EQ(c.merge(rounding, 5, threads), SL_OK);
      if (threads == 1) expected = c.weight.bytes();
      CHECK(c.weight.bytes() == expected);
    }
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
