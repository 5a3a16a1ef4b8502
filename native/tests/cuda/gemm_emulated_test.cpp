// The GEMM kernels as they are, thread by thread on the host emulator, against plain loops in fp64.
#include "cuda/gemm/hopper_launch.cuh"

#include "cuda/alignment/backward_epilogues.cuh"
#include "emulated_runtime.h"
#include "harness.h"
#include "reference.h"

using namespace sightline;
using namespace sightline::cuda;
using namespace sightline::testing;

namespace {

// Stores fp32 and row sums.
struct ProbeEpilogue : EpilogueBase {
  struct Params {
    RowMajor<float> out;
    float* sums;  // [tiles_n][rows]
    int rows;
  };
  static constexpr bool kFusedK = true;
  static constexpr int kRowSums = 1;
  static const RowMajor<float>& output(const Params& p) { return p.out; }
  static void elements(const Params&, const NoColumns&, const float4&, const float (&)[8],
                       float (&)[8]) {}
  static void add_sums(const NoColumns&, const float (&)[8], const float (&x)[8], RowSums& sums) {
    for (int i = 0; i < 8; ++i) sums.value[0] += x[i];
  }
  static void finish_row(const Params& p, int row, int tile_n, const float4& sums) {
    p.sums[tile_n * p.rows + row] = sums.x;
  }
};

template <class T>
Operand operand(const Matrix<T>& m) {
  return matrix(m.get(), m.stride);
}

// The nearest number of 11 significant bits, ties away from zero.
double tf32(double x) {
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::round(std::ldexp(mantissa, 11)), exponent - 11);
}
double as_it_is(double x) { return x; }

// Sizes are those of the product; storage follows the majors. `operand_value`: what the product
// makes of an operand's element, for which it must be exact to fp32 sums; against the operands as
// they are, an element may then err by 2^-11 of each.
template <class T, Major kA, Major kB, class Run>
void check(int m, int n, int k, int k_extra, double (*operand_value)(double), const Run& run) {
  std::mt19937 generator(static_cast<unsigned>(m * 31 + n * 7 + k));
  const auto make = [&](Major major, int extent, int depth) {
    return major == Major::kK ? random_matrix<T>(extent, depth, generator)
                              : random_matrix<T>(depth, extent, generator);
  };
  const auto a = make(kA, m, k), b = make(kB, n, k);
  const auto a_extra = make(kA, m, std::max(k_extra, 1)),
             b_extra = make(kB, n, std::max(k_extra, 1));
  const int padded = round_up(n, 8), tiles_n = ceil_div(n, 128);
  Matrix<float> out(m, padded), sums(tiles_n, m, m);
  out.fill(NAN), sums.fill(NAN);

  GemmProblem problem;
  problem.m = m, problem.n = n, problem.k = k;
  problem.a = operand(a), problem.b = operand(b);
  if (k_extra > 0)
    problem.extra[problem.extra_count++] = {operand(a_extra), operand(b_extra), k_extra};
  const typename ProbeEpilogue::Params epilogue{{out.get(), padded}, sums.get(), m};
  const int tile_columns = run(problem, epilogue);

  RelativeError error, sum_error, unrounded_error;
  for (int i = 0; i < m; ++i) {
    double row_sum = 0;
    for (int j = 0; j < n; ++j) {
      double expected = 0, unrounded = 0, magnitude = 0;
      const auto add = [&](const Matrix<T>& x, const Matrix<T>& y, int depth) {
        for (int l = 0; l < depth; ++l) {
          const double xl = kA == Major::kK ? x.at(i, l) : x.at(l, i);
          const double yl = kB == Major::kK ? y.at(j, l) : y.at(l, j);
          expected += operand_value(xl) * operand_value(yl);
          unrounded += xl * yl;
          magnitude += std::abs(xl * yl);
        }
      };
      add(a, b, k);
      add(a_extra, b_extra, k_extra);
      error.add(out.at(i, j), expected);
      unrounded_error.add(out.at(i, j), unrounded);
      // Twice 2^-11 (and its square), and fp32 sums.
      CHECK_LE(std::abs(out.at(i, j) - unrounded), (0x1p-10 + 0x1p-16) * magnitude + 1e-30);
      row_sum += expected;
    }
    double found = 0;
    for (int tile = 0; tile < ceil_div(n, tile_columns); ++tile) found += sums.at(tile, i);
    sum_error.add(found, row_sum);
  }
  CHECK_LE(error.value(), 1e-5);
  CHECK_LE(sum_error.value(), 1e-4);
  if (operand_value == tf32) CHECK_GE(unrounded_error.value(), 5e-5);  // it was taken
}

template <class T, Major kA, Major kB>
void portable(int m, int n, int k, int k_extra = 0, GemmPath path = GemmPath::kPortable) {
  check<T, kA, kB>(m, n, k, k_extra, path == GemmPath::kTf32 ? tf32 : as_it_is,
                   [&](const GemmProblem& problem, const auto& epilogue) {
                     Stream stream(emu::kAmpere, nullptr);
                     gemm<T, kA, kB, ProbeEpilogue>(
                         stream, plan_gemm<T>(emu::kAmpere, path, problem), problem, epilogue);
                     return 128;
                   });
}

template <Major kA, Major kB>
void through_tf32(int m, int n, int k, int k_extra = 0) {
  portable<float, kA, kB>(m, n, k, k_extra, GemmPath::kTf32);
}

template <class T, Major kA, Major kB>
void hopper(int m, int n, int k, int columns, int resident = 2, int k_extra = 0) {
  const auto run = [&](const GemmProblem& problem, const auto& epilogue) {
    const Device& device = emu::kHopper;
    Stream stream(device, nullptr);
    emu::machine().resident_clusters = resident;
    GemmPlan plan;
    plan.hopper = true;
    plan.tile = {columns, 2};
    gemm<T, kA, kB, ProbeEpilogue>(stream, plan, problem, epilogue);
    CHECK_EQ(stream.error(), cudaSuccess);
    return columns;
  };
  check<T, kA, kB>(m, n, k, k_extra, as_it_is, run);
}

constexpr Major kK = Major::kK, kMN = Major::kMN;

}  // namespace

TEST(simt_f32_every_orientation) {
  portable<float, kK, kK>(65, 136, 40);
  portable<float, kK, kMN>(130, 72, 24);
  portable<float, kMN, kMN>(13, 31, 207);
}

TEST(portable_bf16_every_orientation) {
  portable<Bf16, kK, kK>(128, 128, 64);
  portable<Bf16, kK, kK>(207, 136, 200);
  portable<Bf16, kK, kMN>(65, 152, 264);
  portable<Bf16, kMN, kMN>(13, 31, 207);
  portable<Bf16, kMN, kK>(72, 128, 80);
}

TEST(tf32_every_orientation) {
  through_tf32<kK, kK>(128, 128, 32);
  through_tf32<kK, kK>(65, 136, 200);
  through_tf32<kK, kMN>(130, 72, 132);
  through_tf32<kMN, kMN>(13, 31, 207);
  through_tf32<kMN, kK>(72, 128, 40);
  through_tf32<kK, kK>(7, 136, 4);
}

TEST(portable_short_k) {
  portable<Bf16, kK, kK>(1, 8, 8);
  portable<Bf16, kK, kK>(7, 136, 16);
}

// A low-rank product runs on in the same accumulators: ranks below, at and above a block of k.
TEST(second_product) {
  portable<float, kK, kK>(65, 136, 40, 8);
  portable<float, kK, kMN>(65, 136, 40, 24);
  through_tf32<kK, kK>(65, 136, 72, 12);
  through_tf32<kK, kMN>(65, 136, 40, 36);
  portable<Bf16, kK, kK>(65, 136, 40, 8);
  portable<Bf16, kK, kK>(65, 136, 200, 64);
  portable<Bf16, kK, kMN>(65, 136, 264, 72);
  hopper<Bf16, kK, kK>(300, 264, 64 * 5, 256, 1, 8);
  hopper<Bf16, kK, kMN>(200, 136, 152, 128, 1, 72);
}

TEST(hopper_one_block_of_k) { hopper<Bf16, kK, kK>(128, 256, 64, 256); }

TEST(hopper_ring_wraps_and_tiles_persist) {
  hopper<Bf16, kK, kK>(300, 520, 64 * 9 + 8, 256, 1);
  hopper<Bf16, kK, kK>(520, 264, 64 * 14, 128, 1);
}

TEST(hopper_every_orientation) {
  hopper<Bf16, kK, kMN>(200, 264, 152, 256);
  hopper<Bf16, kK, kMN>(200, 136, 152, 128);
  hopper<Bf16, kMN, kMN>(136, 264, 207, 256);
  hopper<Bf16, kMN, kMN>(13, 31, 207, 128);
  hopper<Bf16, kMN, kK>(136, 256, 136, 256);
}

TEST(same_bits_in_any_schedule) {
  std::mt19937 generator(5);
  const auto a = random_matrix<Bf16>(130, 200, generator);
  const auto b = random_matrix<Bf16>(136, 200, generator);
  std::vector<float> first;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    emu::machine().random.seed(seed);
    Matrix<float> out(130, 136), sums(2, 130, 130);
    GemmProblem problem;
    problem.m = 130, problem.n = 136, problem.k = 200;
    problem.a = operand(a), problem.b = operand(b);
    GemmPlan plan;
    plan.hopper = true, plan.tile = {128, 2};
    const Device& device = emu::kHopper;
    Stream stream(device, nullptr);
    gemm<Bf16, kK, kK, ProbeEpilogue>(stream, plan, problem, {{out.get(), 136}, sums.get(), 130});
    std::vector<float> bits(sums.get(), sums.get() + 2 * 130);
    bits.insert(bits.end(), out.get(), out.get() + 130 * 136);
    if (first.empty()) first = bits;
    CHECK(bits == first);
  }
}

TEST_MAIN()
