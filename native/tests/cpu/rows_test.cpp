#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "alignment_reference.h"
#include "common/philox.h"
#include "harness.h"
#include "isa_test.h"
#include "matrices.h"

using namespace sightline;
using namespace sightline::cpu;

namespace {

constexpr DType kF32 = DType::kFloat32, kBf16 = DType::kBFloat16;
const RowKernels& row() { return kernels()->row; }

std::vector<float> padded(const std::vector<float>& values) {
  std::vector<float> result(values);
  result.resize((values.size() + kRowPad - 1) / kRowPad * kRowPad);
  return result;
}

}  // namespace

TEST(activations_keep_their_stated_error) {
  std::vector<float> u;
  for (double x = -86; x <= 86; x += 0.0137) u.push_back(static_cast<float>(x));
  for (float x = 1e-30f; x < 1; x *= 1.7f) u.push_back(x), u.push_back(-x);
  const size_t n = u.size();
  const std::vector<float> x = padded(u), bias(x.size(), 0.f);
  for (int kind = 0; kind < kActivations; ++kind) {
    std::vector<float> y(x.size()), slope = x, plain(x.size());
    const Activate activate = row().activate[kind];
    activate(y.data(), slope.data(), slope.data(), bias.data(), static_cast<int64_t>(n));
    activate(plain.data(), nullptr, x.data(), bias.data(), static_cast<int64_t>(n));
    CHECK(plain == y);
    double worst = 0, worst_slope = 0;
    for (size_t i = 0; i < n; ++i) {
      const auto [value, derivative] = reference_activation(static_cast<Activation>(kind), x[i]);
      // In its far tail GELU goes like exp(-x^2 / 2), whose argument has fp32's error.
      const double floor = kind == SL_SILU ? 0 : 1e-5;
      worst = std::max(worst, std::abs(y[i] - value) / (std::abs(value) + floor + 1e-300));
      worst_slope = std::max(worst_slope, std::abs(slope[i] - derivative));
    }
    CHECK_LE(worst, 1e-6);
    CHECK_LE(worst_slope, 5e-7);  // it passes through 0, so its error is absolute
  }
}

TEST(activations_saturate_at_the_ends) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x =
      padded({0.f, 1e4f, -1e4f, 3e38f, -3e38f, inf, NAN, 100.f, -100.f, -inf});
  const std::vector<float> bias(x.size(), 0.f);
  for (int kind = SL_SILU; kind < kActivations; ++kind) {
    std::vector<float> y(x.size()), slope(x.size());
    row().activate[kind](y.data(), slope.data(), x.data(), bias.data(), 10);
    CHECK_EQ(y[0], 0.f);
    CHECK_LE(std::abs(slope[0] - (kind == SL_RELU ? 0 : 0.5)), 1e-7);
    for (size_t i : {1, 3, 7}) {
      CHECK_EQ(y[i], x[i]);
      CHECK_LE(std::abs(slope[i] - 1), 1e-6);
    }
    for (size_t i : {2, 4, 8}) {
      CHECK_LE(std::abs(y[i]), 1e-30);
      CHECK_LE(std::abs(slope[i]), 1e-30);
    }
    CHECK_EQ(y[5], inf);
    CHECK(std::isnan(y[6]));
    if (kind == SL_RELU) continue;  // of -infinity it is 0
    CHECK(std::isnan(slope[6]));
    CHECK(!std::isfinite(y[9]) && !std::isfinite(slope[9]));  // infinite in, not finite out
  }
}

TEST(moments_and_dot_sum_in_fp64) {
  for (int64_t n : {1, 2, 7, 8, 9, 15, 17, 31, 207}) {
    Normal next(static_cast<uint64_t>(n), 1, 3000);
    std::vector<float> x, y;
    for (int64_t i = 0; i < n; ++i) {
      x.push_back(static_cast<float>(next()));
      y.push_back(static_cast<float>(next()));
    }
    double mean = 0, variance = 0, dot = 0;
    for (int64_t i = 0; i < n; ++i) mean += x[size_t(i)] / double(n);
    for (int64_t i = 0; i < n; ++i) {
      variance += (x[size_t(i)] - mean) * (x[size_t(i)] - mean) / double(n);
      dot += double(x[size_t(i)]) * y[size_t(i)];
    }
    x = padded(x), y = padded(y);
    for (auto* padding : {&x, &y}) {  // which must not be summed
      std::fill(padding->begin() + n, padding->end(), NAN);
    }
    double m, v;
    row().moments(x.data(), n, &m, &v);
    CHECK_LE(std::abs(m - mean), 1e-12 * std::abs(mean));
    CHECK_LE(std::abs(v - variance), 1e-12 * (variance + 1));
    CHECK_LE(std::abs(row().dot(x.data(), y.data(), n) - dot), 1e-13 * std::abs(dot));
    double xx, yy, xy;
    row().cosine_sums(x.data(), y.data(), n, &xx, &yy, &xy);
    CHECK_EQ(xx, row().dot(x.data(), x.data(), n));
    CHECK_EQ(yy, row().dot(y.data(), y.data(), n));
    CHECK_EQ(xy, row().dot(x.data(), y.data(), n));
  }
}

// In place, as the caller does it, and with a mean whose digits two floats are needed for.
TEST(normalize_and_its_backward_match_fp64) {
  const double mean = 12345.6789, rstd = 0.625;
  const float high = static_cast<float>(mean), low = static_cast<float>(mean - high);
  for (int64_t n : {1, 7, 8, 9, 16, 31, 207}) {
    Normal next_x(static_cast<uint64_t>(n), 1 / rstd, mean + 0.3), next_g(5, 1, 0.5);
    std::vector<float> x, g;
    double k1 = 0, k2 = 0;
    for (int64_t i = 0; i < n; ++i) {
      x.push_back(static_cast<float>(next_x()));
      g.push_back(static_cast<float>(next_g()));
      k1 += g.back() / double(n);
      k2 += g.back() * (x.back() - mean) * rstd / double(n);
    }
    std::vector<float> normal = padded(x), y = padded(g);
    for (auto* padding : {&normal, &y}) {  // which must not be summed
      std::fill(padding->begin() + n, padding->end(), NAN);
    }
    std::vector<float> uncentred(y.size());
    row().norm_backward(uncentred.data(), y.data(), normal.data(), n, high, low, float(rstd),
                        false);
    row().norm_backward(y.data(), y.data(), normal.data(), n, high, low, float(rstd), true);
    row().normalize(normal.data(), normal.data(), n, high, low, float(rstd));
    for (size_t i = 0; i < size_t(n); ++i) {
      const double expected = (x[i] - mean) * rstd;
      CHECK_LE(std::abs(normal[i] - expected), 3e-7 * std::abs(expected));
      const double bound = 3e-7 * rstd * (std::abs(g[i]) + std::abs(k1) + std::abs(expected * k2));
      CHECK_LE(std::abs(y[i] - rstd * (g[i] - k1 - expected * k2)), bound);
      CHECK_LE(std::abs(uncentred[i] - rstd * (g[i] - expected * k2)), bound);
    }
  }
}

TEST(load_and_store_touch_n_elements) {
  for (DType type : {kF32, kBf16}) {
    for (int64_t n = 0; n <= 40; ++n) {
      TestTensor source(type, 1, 1, n + 1), target(type, 1, 2, n, 7);
      source.fill(Normal(3));
      source.set(0, n, 12345);
      std::vector<float> x(64, -1.f);
      row().load(x.data(), source.bytes.data(), type, n);
      for (int64_t i = 0; i < n; ++i) CHECK_EQ(double(x[size_t(i)]), source.get(0, i));
      for (int64_t i = n; i < (n + kRowPad - 1) / kRowPad * kRowPad; ++i)
        CHECK_EQ(x[size_t(i)], 0.f);
      for (int64_t i = (n + kRowPad - 1) / kRowPad * kRowPad; i < 64; ++i)
        CHECK_EQ(x[size_t(i)], -1.f);
      for (int64_t r = 0; r < 2; ++r) {
        row().store(target.bytes.data() + target.offset(r, 0) * element_size(type), type, x.data(),
                    n, 1.f, nullptr, kF32, false);
      }
      for (int64_t i = 0; i < n; ++i) CHECK_EQ(target.get(1, i), source.get(0, i));
      CHECK(target.gaps_untouched());
    }
  }
}

TEST(store_scales_adds_the_bias_and_what_was_there) {
  for (DType type : {kF32, kBf16}) {
    for (DType bias_type : {kF32, kBf16}) {
      const int64_t n = 21;  // whole vectors and a rest; small integers are exact in bf16
      TestTensor out(type, 1, 1, n), bias(bias_type, 1, 1, n);
      std::vector<float> x;
      for (int64_t i = 0; i < n; ++i) {
        out.set(0, i, double(i));
        bias.set(0, i, double(50 - i));
        x.push_back(float(2 * i - 7));
      }
      x = padded(x);
      row().store(out.bytes.data(), type, x.data(), n, 4.f, bias.bytes.data(), bias_type, true);
      for (int64_t i = 0; i < n; ++i) CHECK_EQ(out.get(0, i), double(4 * (2 * i - 7) + 50));
      row().store(out.bytes.data(), type, x.data(), n, 2.f, bias.bytes.data(), bias_type, false);
      for (int64_t i = 0; i < n; ++i) CHECK_EQ(out.get(0, i), double(2 * (2 * i - 7) + 50 - i));
    }
  }
}

TEST(bf16_rounds_to_nearest_even_and_keeps_nan) {
  std::vector<float> values;
  for (uint32_t high : {0x3f80u, 0x3f81u, 0xbf80u, 0x0000u, 0x8000u, 0x0001u, 0x7f7fu, 0x7f80u,
                        0xff80u, 0x7fffu, 0xffffu}) {
    for (uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t bits = high << 16 | low;
      float value;
      std::memcpy(&value, &bits, 4);
      values.push_back(value);
    }
  }
  const size_t n = values.size();
  values = padded(values);
  std::vector<uint16_t> out(n);
  row().store(out.data(), kBf16, values.data(), static_cast<int64_t>(n), 1.f, nullptr, kF32, false);
  for (size_t i = 0; i < n; ++i) {
    if (std::isnan(values[i])) {
      CHECK(std::isnan(from_bf16(out[i])));
    } else {
      CHECK_EQ(out[i], to_bf16(values[i]));
    }
  }
}

TEST(dropout_is_the_mask_of_philox) {
  for (uint64_t start : {0ull, 1ull, 2ull, 3ull, 4ull, 61ull, 4095ull, (1ull << 34) - 7}) {
    for (int64_t n : {1, 3, 4, 16, 61, 64, 65, 200}) {
      for (uint64_t line : {0ull, 77ull, (5ull << 32) + 9}) {
        const float p = 0.3f;
        const uint64_t seed = 0x123456789abcdefull;
        std::vector<float> x(static_cast<size_t>(n) + 16, 2.f);
        row().dropout(x.data(), n, seed, kDropoutLora, line, start, p);
        for (int64_t i = 0; i < n; ++i) {
          const bool keep =
              dropout_keeps(seed, kDropoutLora, line, start + uint64_t(i), dropout_threshold(p));
          CHECK_EQ(x[size_t(i)], keep ? 2.f * (1.f / (1.f - p)) : 0.f);
        }
        for (size_t i = size_t(n); i < x.size(); ++i) CHECK_EQ(x[i], 2.f);
      }
    }
  }
}

TEST(dropout_keeps_the_word_at_the_threshold) {
  // P(word < threshold) = p, for a p that fp32 holds: the first word that has 24 bits.
  const uint64_t seed = 11, line = 5;
  uint64_t column = 0;
  const auto word = [&] {
    return dropout_words(seed, kDropoutLora, line, static_cast<uint32_t>(column / 4))
        .word[column % 4];
  };
  while (word() % 256 != 0) ++column;
  float x[kRowPad] = {1.f};
  row().dropout(x, 1, seed, kDropoutLora, line, column, static_cast<float>(word() * 0x1p-32));
  CHECK(x[0] > 1.f);
}

// In fp64: the factors and their products with the elements are nothing that fp32 holds.
TEST(combine_and_add_match_fp64) {
  for (int64_t n : {1, 8, 13, 31}) {
    Normal next(9, 1e20);
    std::vector<float> x, y;
    for (int64_t i = 0; i < n; ++i) x.push_back(float(next())), y.push_back(float(next()));
    const std::vector<float> px = padded(x), py = padded(y);
    std::vector<float> sum = py, mixed(px.size());
    row().add(sum.data(), px.data(), n);
    row().combine(mixed.data(), 1e-42, px.data(), -3e-43, py.data(), n);
    for (size_t i = 0; i < size_t(n); ++i) {
      CHECK_EQ(sum[i], x[i] + y[i]);
      CHECK_EQ(mixed[i], float(1e-42 * x[i] + -3e-43 * y[i]));
    }
  }
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
