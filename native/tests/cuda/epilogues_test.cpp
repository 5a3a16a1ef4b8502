// The epilogue functions, as host code, against fp64.
#include <cmath>

#include "common/philox.h"
#include "cuda/math/cosine.h"
#include "cuda/math/dropout.h"
#include "cuda/math/layer_norm.h"
#include "cuda/math/silu.h"
#include "cuda/tensor/rows.h"
#include "harness.h"
#include "reference.h"

using namespace sightline;
using namespace sightline::cuda;
using namespace sightline::testing;

TEST(silu_and_its_derivative) {
  for (double x = -40; x <= 40; x += 0.0371) {
    const double s = 1 / (1 + std::exp(-x)), y = x * s, dy = s + x * s * (1 - s);
    const float f = static_cast<float>(x);
    const double scale = 1 + std::abs(x);
    CHECK_LE(std::abs(silu<false>(f) - y), 3e-7 * scale);
    CHECK_LE(std::abs(silu_gradient<false>(f) - dy), 3e-7 * scale);
    CHECK_LE(std::abs(silu<true>(f) - y), 3e-7 * scale);
    CHECK_LE(std::abs(silu_gradient<true>(f) - dy), 3e-7 * scale);
  }
  CHECK_EQ(silu<false>(-200.f), 0.f);
  CHECK(std::isnan(silu<true>(NAN)) && std::isnan(silu_gradient<false>(NAN)));
}

// Forward: textbook LayerNorm then Linear. Backward: textbook LayerNorm backward, on one row.
TEST(layer_norm_folds_both_ways) {
  std::mt19937 generator(1);
  const int d = 96, p = 40;
  for (double mean_of_h : {0., 3., -50.}) {
    auto h = random_matrix<float>(1, d, generator);
    for (int j = 0; j < d; ++j) h.set(0, j, h.at(0, j) + mean_of_h);
    const auto w = random_matrix<float>(p, d, generator, 0.1);
    const auto gamma = random_matrix<float>(1, d, generator);
    const auto beta = random_matrix<float>(1, d, generator);
    const auto b = random_matrix<float>(1, p, generator);
    const auto du = random_matrix<float>(1, p, generator);
    double mean = 0, variance = 0;
    for (int j = 0; j < d; ++j) mean += h.at(0, j) / d;
    for (int j = 0; j < d; ++j) variance += std::pow(h.at(0, j) - mean, 2) / d;
    const double rstd = 1 / std::sqrt(variance + 1e-5);

    RelativeError forward, backward;
    std::vector<double> dx(d);
    float k1 = 0, k2 = 0;
    for (int i = 0; i < p; ++i) {
      double u = b.at(0, i), product = 0, sum = 0, bias = b.at(0, i);
      for (int j = 0; j < d; ++j) {
        const double folded = w.at(i, j) * gamma.at(0, j);
        u += w.at(i, j) * ((h.at(0, j) - mean) * rstd * gamma.at(0, j) + beta.at(0, j));
        product += h.at(0, j) * folded;
        sum += folded;
        bias += w.at(i, j) * beta.at(0, j);
        dx[j] += du.at(0, i) * folded;
      }
      const float out = layer_norm_fold(static_cast<float>(product), static_cast<float>(mean),
                                        static_cast<float>(rstd), static_cast<float>(sum),
                                        static_cast<float>(bias));
      forward.add(out, u);
      layer_norm_backward_sums(static_cast<float>(du.at(0, i)), out, static_cast<float>(bias),
                               static_cast<float>(sum), k1, k2);
    }
    double m1 = 0, m2 = 0;
    for (int j = 0; j < d; ++j) {
      m1 += dx[j] / d;
      m2 += dx[j] * (h.at(0, j) - mean) * rstd / d;
    }
    for (int j = 0; j < d; ++j) {
      const double expected = rstd * (dx[j] - m1 - (h.at(0, j) - mean) * rstd * m2);
      backward.add(layer_norm_backward(static_cast<float>(dx[j]), static_cast<float>(h.at(0, j)),
                                       static_cast<float>(mean), static_cast<float>(0.25 * rstd),
                                       k1 / d, static_cast<float>(rstd) * (k2 / d)),
                   0.25 * expected);
    }
    // fp32 with a cancellation of |mean| / sigma.
    CHECK_LE(forward.value(), 1e-6 * (1 + std::abs(mean_of_h)));
    CHECK_LE(backward.value(), 2e-6 * (1 + std::abs(mean_of_h)));
  }
}

TEST(cosine_and_its_gradient) {
  std::mt19937 generator(2);
  for (double size : {1e-3, 1., 1e4}) {
    const int n = 64;
    const auto z = random_matrix<float>(1, n, generator, size);
    const auto t = random_matrix<float>(1, n, generator);
    double zz = 0, zt = 0, tt = 0;
    for (int i = 0; i < n; ++i) {
      zz += z.at(0, i) * z.at(0, i), zt += z.at(0, i) * t.at(0, i), tt += t.at(0, i) * t.at(0, i);
    }
    const double m = 0.7, c = zt / std::sqrt(zz * tt);
    const CosineRow row = cosine_row(static_cast<float>(zz), static_cast<float>(zt),
                                     static_cast<float>(tt), static_cast<float>(m));
    CHECK_LE(std::abs(row.cosine - c), 1e-6);
    RelativeError error;
    for (int i = 0; i < n; ++i) {
      const double expected =
          -m * (t.at(0, i) / std::sqrt(tt) - c * z.at(0, i) / std::sqrt(zz)) / std::sqrt(zz);
      error.add(row.dz_t * t.at(0, i) + row.dz_z * z.at(0, i), expected);
    }
    CHECK_LE(error.value(), 1e-6);
  }
  const CosineRow zero = cosine_row(0, 0, 4, 1);
  CHECK_EQ(zero.cosine, 0.f);
  CHECK_EQ(zero.dz_z, 0.f);
  CHECK_LE(std::abs(zero.dz_t * 1e-12 + 0.5), 1e-6);  // -(1 / |t|) / eps
  CHECK(std::isnan(cosine_row(NAN, 1, 1, 1).cosine));
}

TEST(dropout_draws_the_shared_mask) {
  DropoutRows dropout;
  dropout.seed = 0x123456789abcdefull, dropout.stream = kDropoutProjector2;
  dropout.threshold = dropout_threshold(0.3), dropout.scale = 1 / 0.7f;
  int kept = 0;
  for (int row = 0; row < 100; ++row) {
    for (int column = 0; column < 64; column += 8) {
      float factor[8] = {1, 1, 1, 1, 1, 1, 1, 1};
      dropout.apply(row, column, factor);
      for (int i = 0; i < 8; ++i) {
        const bool keeps = dropout_keeps(dropout.seed, dropout.stream, static_cast<uint64_t>(row),
                                         static_cast<uint64_t>(column + i), dropout.threshold);
        CHECK_EQ(factor[i], keeps ? dropout.scale : 0.f);
        kept += keeps;
      }
    }
  }
  CHECK_LE(std::abs(kept / 6400. - 0.7), 0.03);
}

namespace {

template <class T>
void check_user_rows(int columns, int64_t row_stride, int64_t batch_stride, bool vector) {
  const int batch = 3, rows = 5;
  alignas(16) static uint8_t storage[1 << 16];
  T* data = reinterpret_cast<T*>(storage);
  for (size_t i = 0; i < sizeof storage / sizeof(T); ++i) {
    data[i] = from_float<T>(static_cast<float>(i % 201));
  }
  View3 view{data, kDType<T>, batch, rows, columns, batch_stride, row_stride};
  const UserRows user = user_rows(view);
  CHECK_EQ(user.vector, vector);
  for (int i = 0; i < batch * rows; ++i) {
    for (int column = 0; column < columns; column += 8) {
      float x[8];
      user.load(static_cast<uint32_t>(i), column, x);
      for (int j = 0; j < 8; ++j) {
        const int64_t at = i / rows * batch_stride + i % rows * row_stride + column + j;
        CHECK_EQ(x[j], column + j < columns ? static_cast<float>(at % 201) : 0.f);
        x[j] = static_cast<float>(j + column % 64);
      }
      user.store(static_cast<uint32_t>(i), column, x);
    }
  }
  // Every element of a row was written, no gap was.
  for (int i = 0; i < batch * rows; ++i) {
    const int64_t at = i / rows * batch_stride + i % rows * row_stride;
    for (int column = 0; column < columns; ++column) {
      CHECK_EQ(to_float(data[at + column]), static_cast<float>(column % 8 + column / 8 * 8 % 64));
    }
    if (i % rows < rows - 1) {
      for (int64_t gap = columns; gap < row_stride; ++gap) {
        CHECK_EQ(to_float(data[at + gap]), static_cast<float>((at + gap) % 201));
      }
    }
  }
}

}  // namespace

TEST(user_rows_of_every_type_and_stride) {
  check_user_rows<float>(24, 24, 120, true);
  check_user_rows<float>(24, 28, 200, true);
  check_user_rows<float>(13, 17, 99, false);
  check_user_rows<Bf16>(24, 32, 192, true);
  check_user_rows<Bf16>(24, 28, 192, false);
  check_user_rows<Bf16>(7, 7, 35, false);
  check_user_rows<Bf16>(16, 16, 80, true);
  check_user_rows<Bf16>(15, 16, 80, false);
}

TEST_MAIN()
