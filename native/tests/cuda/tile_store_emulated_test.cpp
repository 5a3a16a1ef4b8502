// Epilogues in fragments, whose 16-bit results TMA stores, against the same epilogues
// by rows: the same bits, and sums that differ by their order alone. What the rows' results are
// worth is shown by the tests of the products, the alignment loss and LoRA.
#include "cuda/gemm/hopper_launch.cuh"

#include "cuda/alignment/hopper_cosine.cuh"
#include "cuda/lora/epilogues.cuh"
#include "emulated_runtime.h"
#include "harness.h"
#include "reference.h"

using namespace sightline;
using namespace sightline::cuda;
using namespace sightline::testing;

namespace {

constexpr double kGuard = -77;  // of elements that no kernel may touch

struct Size {
  int m, n, k, tile_columns, resident_clusters;
};

// Whole tiles, one block of k; ragged in both directions; several tiles a block, which the phases
// of the staging outlive; less than one staged tile.
const Size kSizes[] = {{128, 256, 64, 256, 2},  {207, 136, 200, 128, 2}, {300, 520, 72, 256, 1},
                       {520, 264, 136, 128, 1}, {70, 72, 8, 256, 2},     {1, 8, 8, 128, 2}};

// [rows, columns] with a gap behind every row.
template <class T>
Matrix<T> guarded(int rows, int columns) {
  Matrix<T> m(rows, columns, round_up(columns, 8) + 8);
  m.fill(kGuard);
  return m;
}

template <class T>
bool gaps_untouched(const Matrix<T>& m) {
  for (int i = 0; i < m.rows; ++i) {
    for (int j = m.columns; j < m.stride; ++j) {
      if (m.at(i, j) != to_float(from_float<T>(static_cast<float>(kGuard)))) return false;
    }
  }
  return true;
}

template <class T>
bool same_bits(const Matrix<T>& a, const Matrix<T>& b) {
  return std::memcmp(a.get(), b.get(), sizeof(T) * static_cast<size_t>(a.rows) * a.stride) == 0;
}

template <class T>
struct Product {
  Size size;
  std::mt19937 generator{7};
  Matrix<T> a, b;
  Matrix<float> bias, weight_sum;

  explicit Product(const Size& s)
      : size(s),
        a(random_matrix<T>(s.m, s.k, generator)),
        b(random_matrix<T>(s.n, s.k, generator, 0.2)),
        bias(random_matrix<float>(1, s.n, generator)),
        weight_sum(random_matrix<float>(1, s.n, generator)) {}

  // Returns how many tiles TMA stored.
  template <class Epilogue>
  int run(GemmPath path, const typename Epilogue::Params& epilogue) const {
    GemmProblem problem;
    problem.m = size.m, problem.n = size.n, problem.k = size.k;
    problem.a = matrix(a.get(), a.stride), problem.b = matrix(b.get(), b.stride);
    Stream stream(emu::kHopper, nullptr);
    emu::machine().resident_clusters = size.resident_clusters;
    GemmPlan plan = plan_gemm<T>(emu::kHopper, path, problem);
    CHECK(plan.hopper);
    plan.tile = {size.tile_columns, 2};
    emu::machine().tensor_stores = 0;
    gemm<T, Major::kK, Major::kK, Epilogue>(stream, plan, problem, epilogue);
    CHECK_EQ(stream.error(), cudaSuccess);
    return emu::machine().tensor_stores;
  }

  int staged_tiles() const { return ceil_div(size.m, 64) * ceil_div(size.n, 64); }
};

template <class T>
UserRows rows_of(Matrix<T>& m) {
  View2 view;
  view.data = m.get();
  view.dtype = kDType<T>;
  view.rows = m.rows, view.cols = m.columns, view.row_stride = m.stride;
  return user_rows(view);
}

template <class T>
void hidden(const Size& size) {
  const Product<T> product(size);
  std::mt19937 generator(8);
  std::vector<RowStatistics> statistics(static_cast<size_t>(size.m));
  for (RowStatistics& s : statistics) {
    s = {static_cast<float>(generator() % 8), 0.5f + static_cast<float>(generator() % 4)};
  }
  auto pre = guarded<T>(size.m, size.n), activation = guarded<T>(size.m, size.n);
  auto pre_rows = pre, activation_rows = activation;
  typename HiddenEpilogue<T>::Params p{};
  p.pre = {pre.get(), pre.stride}, p.activation = {activation.get(), activation.stride};
  p.bias = product.bias.get(), p.weight_sum = product.weight_sum.get();
  p.statistics = statistics.data();
  CHECK_EQ(product.template run<HiddenEpilogue<T>>(GemmPath::kAuto, p), 2 * product.staged_tiles());
  p.pre.data = pre_rows.get(), p.activation.data = activation_rows.get();
  CHECK_EQ(product.template run<HiddenEpilogue<T>>(GemmPath::kRowStore, p), 0);
  CHECK(same_bits(pre, pre_rows));
  CHECK(same_bits(activation, activation_rows));
  CHECK(gaps_untouched(pre) && gaps_untouched(activation));
}

template <class T>
void silu_backward_with_sums(const Size& size) {
  const Product<T> product(size);
  std::mt19937 generator(9);
  const auto u = random_matrix<T>(size.m, size.n, generator, 2.);
  auto du = guarded<T>(size.m, size.n);
  for (int i = 0; i < size.m; ++i) {
    for (int j = 0; j < size.n; ++j) du.set(i, j, u.at(i, j));
  }
  auto du_rows = du;
  const int tiles_n = ceil_div(size.n, size.tile_columns);
  Matrix<float> sums(2 * tiles_n, size.m, size.m), sums_rows = sums;
  sums.fill(NAN), sums_rows.fill(NAN);
  typename SiluBackwardSumsEpilogue<T>::Params p{};
  p.pre = {du.get(), du.stride};
  p.bias = product.bias.get(), p.weight_sum = product.weight_sum.get();
  p.partial = sums.get(), p.rows = size.m;
  using Epilogue = SiluBackwardSumsEpilogue<T>;
  CHECK_EQ(product.template run<Epilogue>(GemmPath::kAuto, p), product.staged_tiles());
  p.pre.data = du_rows.get(), p.partial = sums_rows.get();
  CHECK_EQ(product.template run<Epilogue>(GemmPath::kRowStore, p), 0);
  CHECK(same_bits(du, du_rows));
  CHECK(gaps_untouched(du));
  RelativeError error;
  for (int i = 0; i < 2 * tiles_n; ++i) {
    for (int j = 0; j < size.m; ++j) error.add(sums.at(i, j), sums_rows.at(i, j));
  }
  CHECK_LE(error.value(), 1e-5);
}

// Hidden states and their gradient as [batch, tokens, columns] slices of larger tensors.
struct Slices {
  int tokens, first_row;
  int64_t batch_gap;
};

template <class T>
int layer_norm_backward_stores(const Size& size, const Slices& slices, bool accumulate) {
  const Product<T> product(size);
  std::mt19937 generator(10);
  const int tokens = slices.tokens, rows = slices.first_row + size.m;
  const int batches = ceil_div(rows, tokens), gap = static_cast<int>(slices.batch_gap);
  auto h = guarded<T>(batches * (tokens + gap), size.n);
  for (int i = 0; i < h.rows; ++i) {
    for (int j = 0; j < size.n; ++j) h.set(i, j, 1e-3 * static_cast<double>(generator() % 4096));
  }
  auto grad = guarded<T>(h.rows, size.n), grad_rows = grad;
  std::vector<RowStatistics> statistics(static_cast<size_t>(size.m), {0.75f, 1.5f});
  const auto partial = random_matrix<float>(4, size.m, generator, 1., size.m);
  const float scale = 0.37f;
  const auto view = [&](Matrix<T>& m) {
    View3 v{};
    v.data = m.get();
    v.dtype = kDType<T>;
    v.batch = batches, v.rows = tokens, v.cols = size.n;
    v.row_stride = m.stride, v.batch_stride = int64_t{tokens + gap} * m.stride;
    return user_rows(v);
  };
  LayerNormBackwardEpilogue::Params p{};
  p.hidden = view(h), p.grad = view(grad);
  p.accumulate = accumulate;
  p.statistics = statistics.data();
  p.partial = partial.get(), p.partial_tiles = 2, p.rows = size.m;
  p.inverse_d = 1.f / static_cast<float>(size.n);
  p.scale = &scale;
  p.first_row = slices.first_row;
  const int stores = product.template run<LayerNormBackwardEpilogue>(GemmPath::kAuto, p);
  p.grad = view(grad_rows);
  CHECK_EQ(product.template run<LayerNormBackwardEpilogue>(GemmPath::kRowStore, p), 0);
  CHECK(same_bits(grad, grad_rows));
  CHECK(gaps_untouched(grad));
  // Every row of the slices was written, and no other. (What is added may round to nothing.)
  for (int i = 0; !accumulate && i < h.rows; ++i) {
    const int token = i % (tokens + gap), row = i / (tokens + gap) * tokens + token;
    const bool written = token < tokens && row >= slices.first_row && row < rows;
    CHECK_EQ(grad.at(i, 0) != to_float(from_float<T>(static_cast<float>(kGuard))), written);
  }
  return stores;
}

// Whole rows of up to 1024 columns: sums over a cluster of four, then dz.
void cosine(int m, int n, int k, int resident_clusters, bool gradient) {
  std::mt19937 generator(13);
  const auto a = random_matrix<Bf16>(m, k, generator), b = random_matrix<Bf16>(n, k, generator);
  const auto bias = random_matrix<float>(1, n, generator);
  auto teacher = random_matrix<Bf16>(m, n, generator, 1., round_up(n, 8) + 16);
  auto dz = guarded<Bf16>(m, n), dz_rows = dz;
  Matrix<float> cosines(2, m, m), weighted(2, m, m);
  cosines.fill(NAN), weighted.fill(NAN);
  const auto run = [&](GemmPath path, int output, Matrix<Bf16>& out) {
    GemmProblem problem;
    problem.m = m, problem.n = n, problem.k = k;
    problem.a = matrix(a.get(), a.stride), problem.b = matrix(b.get(), b.stride);
    CosineEpilogue<Bf16>::Params p{};
    p.dz = {gradient ? out.get() : nullptr, out.stride};
    p.bias = bias.get();
    p.teacher = rows_of(teacher);
    p.outputs.weight_rows = static_cast<uint32_t>(m);
    p.outputs.cosine = cosines.get() + output * m;
    p.outputs.weighted = weighted.get() + output * m;
    Stream stream(emu::kHopper, nullptr);
    emu::machine().resident_clusters = resident_clusters;
    emu::machine().tensor_stores = 0;
    hopper_cosine_gemm<Bf16>(stream, plan_gemm<Bf16>(emu::kHopper, path, problem), problem, p);
    return emu::machine().tensor_stores;
  };
  CHECK_EQ(run(GemmPath::kAuto, 0, dz), gradient ? ceil_div(m, 64) * ceil_div(n, 64) : 0);
  CHECK_EQ(run(GemmPath::kRowStore, 1, dz_rows), 0);
  RelativeError error, weighted_error, dz_error;
  for (int i = 0; i < m; ++i) {
    error.add(cosines.at(0, i), cosines.at(1, i));
    weighted_error.add(weighted.at(0, i), weighted.at(1, i));
    for (int j = 0; j < n; ++j) dz_error.add(dz.at(i, j), dz_rows.at(i, j));
  }
  CHECK_LE(error.value(), 1e-5);
  CHECK_LE(weighted_error.value(), 1e-5);
  CHECK_LE(dz_error.value(), 1e-3);  // roundings to bf16 that fall the other way
  CHECK(gaps_untouched(dz));
}

}  // namespace

TEST(cosine_over_a_cluster) {
  cosine(300, 1000, 64, 1, true);
  cosine(70, 520, 72, 3, true);
  cosine(129, 1024, 8, 1, false);
}

TEST(two_outputs_with_row_and_column_values) {
  for (const Size& size : kSizes) hidden<Bf16>(size);
}

TEST(an_input_replaced_in_place_and_row_sums) {
  for (const Size& size : kSizes) silu_backward_with_sums<Bf16>(size);
}

TEST(the_callers_slices) {
  for (const Size& size : kSizes) {
    const int expected = ceil_div(size.m, 64) * ceil_div(size.n, 64);
    CHECK_EQ(layer_norm_backward_stores<Bf16>(size, {size.m, 0, 3}, false), expected);
  }
  // Batches of whole staged tiles, from the second on.
  CHECK_EQ(layer_norm_backward_stores<Bf16>({192, 136, 40, 128, 1}, {64, 64, 5}, false), 3 * 3);
  CHECK_EQ(layer_norm_backward_stores<Bf16>({256, 72, 40, 256, 2}, {128, 128, 0}, false), 4 * 2);
}

TEST(rows_where_tma_cannot_store) {
  // Added to; batches that cut tiles; a last tile that would run into rows of the batch not asked
  // for.
  CHECK_EQ(layer_norm_backward_stores<Bf16>({128, 72, 40, 128, 2}, {128, 0, 0}, true), 0);
  CHECK_EQ(layer_norm_backward_stores<Bf16>({210, 72, 40, 128, 2}, {70, 0, 2}, false), 0);
  CHECK_EQ(layer_norm_backward_stores<Bf16>({192, 72, 40, 128, 2}, {96, 0, 2}, false), 0);
  CHECK_EQ(layer_norm_backward_stores<Bf16>({64, 72, 40, 128, 2}, {64, 32, 2}, false), 0);
  CHECK_EQ(layer_norm_backward_stores<Bf16>({100, 72, 40, 128, 2}, {64, 0, 2}, false), 0);
  // Masks, drawn for eight columns at once; what lies in fp32 scratch; other types, unaligned rows.
  HiddenEpilogue<Bf16>::Params hidden{};
  SiluBackwardEpilogue<Bf16>::Params silu{};
  CHECK((tma_reaches<Bf16, HiddenEpilogue<Bf16>>(hidden, 64, 64)));
  CHECK((tma_reaches<Bf16, SiluBackwardEpilogue<Bf16>>(silu, 64, 64)));
  hidden.dropout.threshold = silu.dropout.threshold = 1;
  CHECK(!(tma_reaches<Bf16, HiddenEpilogue<Bf16>>(hidden, 64, 64)));
  CHECK(!(tma_reaches<Bf16, SiluBackwardEpilogue<Bf16>>(silu, 64, 64)));
  const Size size{130, 72, 40, 128, 2};
  const Product<Bf16> product(size);
  Matrix<Bf16> plain(size.m, size.n);
  LoraEpilogue::Params lora{};
  lora.out = rows_of(plain);
  CHECK((tma_reaches<Bf16, LoraEpilogue>(lora, size.m, size.n)));
  lora.accumulate = true;
  CHECK(!(tma_reaches<Bf16, LoraEpilogue>(lora, size.m, size.n)));
  lora.accumulate = false, lora.addend = product.bias.get();
  CHECK(!(tma_reaches<Bf16, LoraEpilogue>(lora, size.m, size.n)));
  Matrix<float> wide(size.m, size.n);
  CHECK_EQ(product.run<StoreEpilogue>(GemmPath::kAuto, {rows_of(wide), false, nullptr}), 0);
  Matrix<Bf16> unaligned(size.m, size.n, size.n + 4);
  CHECK_EQ(product.run<StoreEpilogue>(GemmPath::kAuto, {rows_of(unaligned), false, nullptr}), 0);
}

TEST(plain_and_biased_results) {
  for (const Size& size : kSizes) {
    const Product<Bf16> product(size);
    auto tiles = guarded<Bf16>(size.m, size.n), by_rows = tiles;
    const float scale = -1.5f;
    CHECK_EQ(product.run<StoreEpilogue>(GemmPath::kAuto, {rows_of(tiles), false, &scale}),
             product.staged_tiles());
    product.run<StoreEpilogue>(GemmPath::kRowStore, {rows_of(by_rows), false, &scale});
    CHECK(same_bits(tiles, by_rows));
    CHECK(gaps_untouched(tiles));

    std::mt19937 generator(11);
    auto bias = random_matrix<Bf16>(1, size.n, generator);
    LoraEpilogue::Params p{};
    p.out = rows_of(tiles), p.bias = rows_of(bias);
    CHECK_EQ(product.run<LoraEpilogue>(GemmPath::kAuto, p), product.staged_tiles());
    p.out = rows_of(by_rows);
    product.run<LoraEpilogue>(GemmPath::kRowStore, p);
    CHECK(same_bits(tiles, by_rows));

    product.run<BiasEpilogue<Bf16>>(GemmPath::kAuto,
                                    {{tiles.get(), tiles.stride}, product.bias.get()});
    product.run<BiasEpilogue<Bf16>>(GemmPath::kRowStore,
                                    {{by_rows.get(), by_rows.stride}, product.bias.get()});
    CHECK(same_bits(tiles, by_rows));
  }
}

// Orders of fibers and moments of TMA change nothing.
TEST(same_bits_in_any_schedule) {
  const Size size = kSizes[2];
  const Product<Bf16> product(size);
  std::mt19937 generator(12);
  const auto u = random_matrix<Bf16>(size.m, size.n, generator);
  std::vector<double> first;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    emu::machine().random.seed(seed);
    auto du = u;
    Matrix<float> sums(6, size.m, size.m);
    SiluBackwardSumsEpilogue<Bf16>::Params p{};
    p.pre = {du.get(), du.stride};
    p.bias = product.bias.get(), p.weight_sum = product.weight_sum.get();
    p.partial = sums.get(), p.rows = size.m;
    product.run<SiluBackwardSumsEpilogue<Bf16>>(GemmPath::kAuto, p);
    std::vector<double> values;
    for (int i = 0; i < size.m; ++i) {
      for (int tile = 0; tile < 6; ++tile) values.push_back(sums.at(tile, i));
      for (int j = 0; j < size.n; ++j) values.push_back(du.at(i, j));
    }
    if (first.empty()) first = values;
    CHECK(values == first);
  }
}

TEST_MAIN()
