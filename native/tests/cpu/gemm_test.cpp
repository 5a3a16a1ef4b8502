#include "common/nan.h"
#include "gemm_case.h"
#include "harness.h"
#include "isa_test.h"

using namespace sightline;
using namespace sightline::cpu;

TEST(every_orientation_dtype_and_tail_matches_fp64) {
  const int64_t sizes[][3] = {{1, 1, 1},     {1, 33, 7},    {7, 13, 31},  {13, 1, 65},
                              {14, 32, 256}, {65, 31, 257}, {6, 16, 512}, {207, 65, 300},
                              {31, 207, 13}, {600, 20, 70}};
  for (const auto& size : sizes) {
    for (int bits = 0; bits < 32; ++bits) {
      const Case c{size[0],
                   size[1],
                   size[2],
                   bool(bits & 1),
                   bool(bits & 2),
                   bits & 4 ? kBf16 : kF32,
                   bits & 8 ? kBf16 : kF32,
                   bits & 16 ? kBf16 : kF32};
      TestTensor a = make(c.a_type, c.a_along_k, c.m, c.k, 1),
                 b = make(c.b_type, c.b_along_k, c.n, c.k, 2);
      Run run(c);
      run.go(c, {{operand(a.view2(), c.a_along_k), operand(b.view2(), c.b_along_k), c.k, nullptr}},
             2);
      CHECK_LE(relative_error(run.out.values(), reference(a, b, c)), kTolerance);
      CHECK(run.out.gaps_untouched());
    }
  }
}

TEST(packed_b_gives_the_same_bits) {
  for (DType compute : {kF32, kBf16}) {
    for (bool along_k : {false, true}) {
      const Case c{45, 530, 301, true, along_k, kF32, kBf16, compute};
      TestTensor a = make(kF32, true, c.m, c.k, 3), b = make(kBf16, along_k, c.n, c.k, 4);
      const Operand a_operand = operand(a.view2(), true), b_operand = operand(b.view2(), along_k);
      Run plain(c), packed_run(c);
      plain.go(c, {{a_operand, b_operand, c.k, nullptr}}, 1);
      std::vector<char> memory(
          static_cast<size_t>(packed_b_bytes(*kernels(), compute, c.k, c.n)) + 8, 0x77);
      const PackedB packed = pack_b(*kernels(), compute, b_operand, c.k, c.n, memory.data(), 2);
      for (size_t i = memory.size() - 8; i < memory.size(); ++i) CHECK_EQ(memory[i], 0x77);
      packed_run.go(c, {{a_operand, {}, c.k, &packed}}, 2);
      CHECK(plain.out.bytes == packed_run.out.bytes);
    }
  }
}

TEST(thread_count_changes_no_bit) {
  for (DType compute : {kF32, kBf16}) {
    for (const auto& [m, n] : {std::pair<int64_t, int64_t>{300, 700}, {1300, 33}}) {
      const Case c{m, n, 600, true, true, kF32, kF32, compute};
      TestTensor a = make(kF32, true, c.m, c.k, 5), b = make(kF32, true, c.n, c.k, 6);
      const KSegment segment{operand(a.view2(), true), operand(b.view2(), true), c.k, nullptr};
      Run one(c);
      one.go(c, {segment}, 1);
      for (int threads : {2, 3, 7}) {
        Run many(c);
        many.go(c, {segment}, threads);
        CHECK(one.out.bytes == many.out.bytes);
      }
    }
  }
}

// Few columns take another kernel, many rows more than one block.
TEST(an_element_does_not_depend_on_the_size_around_it) {
  for (DType compute : {kF32, kBf16}) {
    for (bool along_k : {false, true}) {
      const Case wide{700, 200, 530, along_k, true, kF32, kF32, compute};
      Case thin = wide;
      thin.m = 31, thin.n = 33;
      TestTensor a = make(kF32, along_k, wide.m, wide.k, 19),
                 b = make(kF32, true, wide.n, wide.k, 20);
      const KSegment segment{operand(a.view2(), along_k), operand(b.view2(), true), wide.k,
                             nullptr};
      Run all(wide), some(thin);
      all.go(wide, {segment}, 1);
      some.go(thin, {segment}, 1);
      for (int64_t i = 0; i < thin.m; ++i)
        for (int64_t j = 0; j < thin.n; ++j) CHECK_EQ(some.out.get(i, j), all.out.get(i, j));
    }
  }
}

TEST(segments_bias_and_scale_are_added_once) {
  for (DType out_type : {kF32, kBf16}) {
    for (DType bias_type : {kF32, kBf16}) {
      const Case base{37, 70, 90, true, true, kF32, kF32, kF32};
      const Case low_rank{37, 70, 5, true, false, kF32, kBf16, kF32};
      TestTensor a = make(kF32, true, 37, 90, 7), b = make(kF32, true, 70, 90, 8);
      TestTensor s = make(kF32, true, 37, 5, 9), t = make(kBf16, false, 70, 5, 10);
      TestTensor bias(bias_type, 1, 1, 70);
      bias.fill(Normal(11));
      Run run(base, out_type);
      run.out.fill(Normal(12));
      const std::vector<double> before = run.out.values();
      StoreEpilogue store;
      store.scale = 0.5f;
      store.bias = bias.view2();
      store.accumulate = true;
      run.go(base,
             {{operand(a.view2(), true), operand(b.view2(), true), 90, nullptr},
              {operand(s.view2(), true), operand(t.view2(), false), 5, nullptr}},
             2, store);
      std::vector<double> expected = reference(a, b, base), second = reference(s, t, low_rank);
      for (size_t i = 0; i < expected.size(); ++i) {
        expected[i] =
            before[i] + 0.5 * (expected[i] + second[i]) + bias.get(0, static_cast<int64_t>(i % 70));
      }
      // One rounding to bf16 is at most 2^-9 relative.
      CHECK_LE(relative_error(run.out.values(), expected),
               out_type == kF32 ? kTolerance : 1.0 / 512);
    }
  }
}

namespace {
// The usual epilogue under another name: its tiles are summed in scratch.
void store_from_scratch(const void* store, const Kernels& table, const GemmTile& tile) {
  store_tile(store, table, tile);
}
}  // namespace

TEST(sums_in_place_have_the_bits_of_scratch) {
  const int64_t sizes[][3] = {
      {61, 83, 1}, {13, 48, 70}, {700, 530, 256}, {45, 20, 300}, {7, 9, 513}};
  for (const auto& [m, n, k] : sizes) {
    for (bool accumulate : {false, true}) {
      TestTensor a = make(kF32, true, m, k, 29), b = make(kF32, true, n, k, 30);
      const KSegment segment{operand(a.view2(), true), operand(b.view2(), true), k, nullptr};
      for (float scale : {1.f, 0.75f}) {
        for (int64_t batch : {1, 2}) {
          const int64_t rows = m / batch;
          const Case part{batch * rows, n, k, true, true, kF32, kF32, kF32};
          StoreEpilogue store;
          store.scale = scale, store.accumulate = accumulate;
          TestTensor in_place(kF32, batch, rows, n, 5, 7), copied(kF32, batch, rows, n, 5, 7);
          in_place.fill(Normal(31)), copied.fill(Normal(31));
          run_into(in_place, part, {segment}, 2, store, store_tile);
          run_into(copied, part, {segment}, 2, store, store_from_scratch);
          CHECK(in_place.bytes == copied.bytes);
          CHECK(in_place.gaps_untouched());
        }
      }
    }
  }
}

// A signalling one, whose payload lies in the bits that rounding to bf16 drops, and a negative one;
// in whole tiles and, with 7 rows or 80 columns, in their edges.
TEST(any_nan_becomes_the_one_in_its_row) {
  for (int test = 0; test < 16; ++test) {
    const DType compute = test & 1 ? kF32 : kBf16;
    const bool a_along_k = test & 2;
    const uint32_t bits = test & 4 ? 0x7f800001 : 0xffc12345;
    const Case c{test & 8 ? 7 : 30, 80, 40, a_along_k, true, kF32, kF32, compute};
    TestTensor a = make(kF32, a_along_k, c.m, c.k, 32), b = make(kF32, true, c.n, c.k, 33);
    std::memcpy(a.bytes.data() + (a_along_k ? a.offset(3, 5) : a.offset(5, 3)) * 4, &bits, 4);
    Run run(c);
    run.go(c, {{operand(a.view2(), a_along_k), operand(b.view2(), true), c.k, nullptr}}, 1);
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        uint32_t found;
        std::memcpy(&found, run.out.bytes.data() + run.out.offset(i, j) * 4, 4);
        CHECK_EQ(std::isnan(run.out.get(i, j)) ? found : 0, i == 3 ? kNanBits : 0);
      }
    }
  }
}

TEST(batched_rows_are_flattened) {
  for (DType type : {kBf16, kF32}) {
    const Case c{21, 16, 33, true, true, type, kF32, kF32};
    TestTensor a(type, 3, 7, 33, 2, 11), flat(type, 1, 21, 33);
    a.fill(Normal(13));
    flat.fill(Normal(13));
    TestTensor b = make(kF32, true, 16, 33, 14);
    Run strided(c), compact(c);
    strided.go(c, {{operand(a.view3(), true), operand(b.view2(), true), c.k, nullptr}}, 1);
    compact.go(c, {{operand(flat.view2(), true), operand(b.view2(), true), c.k, nullptr}}, 1);
    CHECK(strided.out.bytes == compact.out.bytes);
  }
}

namespace {
void fetch_doubled(const void* user, int64_t row, int64_t column, int64_t n, float* dst) {
  const auto& t = *static_cast<const TestTensor*>(user);
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(2 * t.get(row, column + i));
}
}  // namespace

TEST(fetched_operands_are_packed_as_stored_ones) {
  for (int bits = 0; bits < 4; ++bits) {
    const Case c{40, 50, 270, bool(bits & 1), bool(bits & 2), kF32, kF32, kF32};
    TestTensor a = make(kF32, c.a_along_k, c.m, c.k, 15), b = make(kF32, c.b_along_k, c.n, c.k, 16);
    Operand a_operand = operand(a.view2(), c.a_along_k),
            b_operand = operand(b.view2(), c.b_along_k);
    Run plain(c), fetched(c);
    plain.go(c, {{a_operand, b_operand, c.k, nullptr}}, 1);
    a_operand.fetch = b_operand.fetch = fetch_doubled;
    a_operand.user = &a;
    b_operand.user = &b;
    a_operand.view.data = b_operand.view.data = nullptr;
    a_operand.view.dtype = b_operand.view.dtype = kBf16;  // of what is read to compute fp32 rows
    StoreEpilogue store;
    store.scale = 0.25f;
    fetched.go(c, {{a_operand, b_operand, c.k, nullptr}}, 2, store);
    CHECK(plain.out.bytes == fetched.out.bytes);  // factors of two are exact
  }
}

TEST(non_finite_operands_stay_in_their_rows_and_columns) {
  for (DType compute : {kF32, kBf16}) {
    for (double bad : {double(NAN), double(INFINITY)}) {
      const Case c{20, 40, 100, true, true, kF32, kBf16, compute};
      TestTensor a = make(kF32, true, c.m, c.k, 17), b = make(kBf16, true, c.n, c.k, 18);
      a.set(19, 99, bad);
      b.set(39, 0, bad);
      Run run(c);
      run.go(c, {{operand(a.view2(), true), operand(b.view2(), true), c.k, nullptr}}, 1);
      for (int64_t i = 0; i < c.m; ++i)
        for (int64_t j = 0; j < c.n; ++j)
          CHECK_EQ(std::isfinite(run.out.get(i, j)), i != 19 && j != 39);
    }
  }
}

TEST(empty_products_touch_nothing_or_give_zeros) {
  const Case c{5, 9, 0, true, true, kF32, kF32, kF32};
  Run run(c);
  StoreEpilogue store;
  run.go(c, {}, 2, store);
  for (double value : run.out.values()) CHECK_EQ(value, 0.0);
  Run none(c);
  const std::vector<uint8_t> before = none.out.bytes;
  none.go({0, 9, 4, true, true, kF32, kF32, kF32}, {}, 1);
  CHECK(none.out.bytes == before);
}

TEST_MAIN_IF(sightline::cpu::isa_skip_reason())
